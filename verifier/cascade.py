"""The cascade: whether a kernel that is right so far may still be the best of its run, or need not be judged further.

On the emulator the figure of a passed kernel is the model's time of its calls on the task's own workload (`verifier.timing`), so
those calls decide it: after the first, a kernel is let go only where all others would have to be much faster; after the last,
its figure is known. On a GPU only a bound is known before measuring: what the counters of its launches say must be done. It is
far below what most kernels take, so few are let go there, and none that could have won.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kernelwright.sandbox.launch import LaunchReport
from kernelwright.verifier.evaluation import Timing, TimingKind, Verdict
from kernelwright.verifier.model import assemble
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.verifier.stages import StageFailed
from kernelwright.verifier.timing import ModelledCall
from kernelwright.verifier.wording import duration

__all__ = ["Cascade", "least_seconds", "must_pass_dram"]

_NOTICEABLE = 1.005
"""As `agents.ranking.NOTICEABLE`: a kernel must be faster than the best by this factor to take over."""
_OTHER_CALLS = 0.8
"""What the fastest of a kernel's calls takes of another at least, an allowance of ours: calls of the task's own workload differ by
the values of their inputs only, which matter where a loop is left early."""
_CLOCKS = 1.25
"""By how much a card may run above its data sheet's clocks at most, ours: the boost of consumer cards and raised memory clocks stay
below it."""


def least_seconds(launches: Sequence[LaunchReport], gpu: Gpu) -> float:
    """What no GPU of this kind can run these launches in less than, by their own counters: what must pass DRAM whatever L2
    keeps, and arithmetic, both at the data sheet's peaks and `_CLOCKS` above them, whichever takes longer.

    Nothing here is an estimate of ours, so some things count nothing at all: traffic with L2, whose bandwidth no data sheet
    says; the cost of a launch; blocks that were not run; what is left to torch. Launches may run beside one another.
    """
    counters = [report.counters for report in launches]
    moved = sum(
        must_pass_dram(each.global_load_unique_bytes, each.global_store_unique_bytes, gpu.l2_bytes) for each in counters
    )
    peaks = {"fp32": gpu.fp32_peak, "fp64": gpu.fp64_peak, "fp16": gpu.fp16_peak}
    work = max(sum(each.flops.get(pipe, 0) for each in counters) / peak for pipe, peak in peaks.items())
    return max(moved / gpu.dram_bandwidth, work) / _CLOCKS


def must_pass_dram(loaded: int, stored: int, l2_bytes: int) -> int:
    """Bytes that a launch moves from or to DRAM at least, whatever L2 keeps and throws out.

    Of the distinct bytes that it touches, as many as L2 holds may be there before, and as many of those that it stores may be
    there after it. All others are fetched or written back. How many of the bytes loaded and stored are the same is not known.

    Args:
        loaded, stored: distinct bytes.
    """
    return max(0, max(loaded, stored) - l2_bytes - min(stored, l2_bytes))


@dataclass(frozen=True)
class Cascade:
    """Holds a kernel in the middle of its evaluation against the best of the run.

    Args:
        rival: the best of the run so far; None, or a time that can't be compared with this device's, lets every kernel on.
        kind: of the time that the kernel would get.
    """

    rival: Timing | None
    kind: TimingKind
    gpu: Gpu

    @property
    def asked(self) -> bool:
        """Whether there is anything to compare with."""
        return self.rival is not None and self.rival.kind is self.kind and self.rival.gpu == self.gpu.name

    def look(self, own: Sequence[ModelledCall], rows: list[dict[str, Any]], *, last: bool) -> None:
        """Stops the evaluation where the kernel can't win any more.

        Args:
            own: its verified calls on the task's own workload so far, at least one.
            rows: what is known of its correctness, for the evidence.
            last: whether these are all calls that its figure will come from.

        Raises:
            StageFailed: it can't; with the verdict `outclassed`.
        """
        if not self.asked or self.rival is None:
            return
        ordered = sorted(own, key=lambda call: call.seconds)
        figure = ordered[(len(ordered) - 1) // 2]
        if self.kind is TimingKind.MEASURED:
            least = _OTHER_CALLS * min(least_seconds(call.launches, self.gpu) for call in own)
            how = "its launches alone need"
        elif last:
            least, how = figure.seconds, "it takes"
        else:
            least, how = ordered[0].seconds * _OTHER_CALLS, "it takes at least"
        if least * _NOTICEABLE <= self.rival.seconds:
            return
        raise StageFailed(
            Verdict.OUTCLASSED,
            f"Right in the calls that were made, but {how} {duration(least)}, and the best kernel of the run so far takes "
            f"{duration(self.rival.seconds)} ({self.kind.value}). It was not judged further: make it faster than that one.",
            "can't beat the best of the run",
            {
                "calls": rows,
                "least_seconds": least,
                "rival_seconds": self.rival.seconds,
                **self._modelled(figure),
            },
        )

    def _modelled(self, figure: ModelledCall) -> dict[str, Any]:
        """The time that samplers learn from; of a run of measured times none, for the two are never ranked together."""
        if self.kind is TimingKind.MEASURED:
            return {}
        rows = assemble.rows(figure.launches, figure.operations, self.gpu)
        breakdown = [{"name": row["name"], "seconds": row["seconds"]} for row in rows]
        return {"modelled_seconds": figure.seconds, "breakdown": breakdown}
