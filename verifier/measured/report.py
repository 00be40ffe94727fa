"""From rounds of batches to the `Timing` of a verdict, and whether a time is possible at all."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from kernelwright.sandbox.reference import Reference
from kernelwright.verifier.evaluation import Measurement, Timing, TimingKind, Verdict
from kernelwright.verifier.measured.ceilings import Ceilings
from kernelwright.verifier.measured.rounds import COLD, MODES, Rounds, WallClock
from kernelwright.verifier.measured.statistics import interval, paired_speedup
from kernelwright.verifier.model import assemble
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.verifier.stages import StageFailed
from kernelwright.verifier.wording import duration

__all__ = ["CANDIDATE", "measured_timing", "refuse_impossible"]

CANDIDATE = "candidate"
_MARGIN = 0.95  # of the least time that memory allows: a copy does not quite reach what the memory does


def measured_timing(
    rounds: Rounds,
    wall: WallClock | None,
    *,
    reference: Reference,
    gpu: Gpu,
    ceilings: Ceilings,
    properties: Mapping[str, Any],
    failed: Mapping[str, str],
    looked: int,
    clocks_problem: str = "",
    slower: bool = False,
    again: bool = False,
) -> Timing:
    """The timing: medians of batches with a cold L2 cache, against eager PyTorch.

    Args:
        gpu: with the ceilings that were measured on it.
        failed: baselines that could not be measured, and why.
        looked: timed calls whose outputs were compared afterwards.
        slower: the judge's clock showed more than the process claims: the difference is added to the candidate's time.
        again: it was a jump, and this is the slower of two measurements.
    """
    medians = rounds.medians
    times = {
        name: {mode: asdict(interval(medians[name][mode])) for mode in MODES if medians[name][mode]} for name in medians
    }
    speedups = {
        name: {mode: asdict(paired_speedup(medians[name][mode], medians[CANDIDATE][mode])) for mode in MODES}
        for name in medians
        if name != CANDIDATE
    }
    seconds = times[CANDIDATE][COLD]["value"]
    if slower and wall is not None:
        seconds += max(0.0, wall.slope.seconds - wall.claimed)
    baseline = times["eager"][COLD]["value"]
    least = assemble.bound(reference.signature, reference.ops(), gpu)
    own = speedups["eager"][COLD]
    ratio = baseline / seconds
    return Timing(
        kind=TimingKind.MEASURED,
        gpu=gpu.name,
        seconds=seconds,
        baseline_seconds=baseline,
        baseline="eager",
        bound_seconds=least.seconds,
        bound_by=least.by,
        seconds_low=times[CANDIDATE][COLD]["low"],
        seconds_high=max(times[CANDIDATE][COLD]["high"], seconds),
        baseline_seconds_low=times["eager"][COLD]["low"],
        baseline_seconds_high=times["eager"][COLD]["high"],
        interval_source=f"95 % bootstrap intervals over {len(medians[CANDIDATE][COLD])} rounds",
        speedup_low=min(own["low"], ratio),
        speedup_high=max(own["high"], ratio),
        measured_again=again,
        measurement=Measurement(
            rounds=len(medians[CANDIDATE][COLD]),
            calls=rounds.calls,
            medians=medians,
            times=times,
            speedups=speedups,
            standard_error=rounds.standard_error(),
            budget_ended=rounds.budget_ended,
            unsettled=rounds.unsettled,
            looked_at=looked,
            wall=None if wall is None else {**asdict(wall.slope), "claimed": wall.claimed},
            ceilings=ceilings.to_json(),
            clocks=rounds.clocks,
            clocks_problem=clocks_problem,
            device=dict(properties),
            failed=dict(failed),
        ),
    )


def refuse_impossible(timing: Timing, reference: Reference, gpu: Gpu, l2_bytes: int) -> None:
    """Raises StageFailed where no kernel that reads its inputs once can be so fast on this GPU.

    Outputs may still lie in the L2 cache when a call ends, so as much of them is left out.
    """
    signature = reference.signature
    written = sum(map(assemble.storage_bytes, (*signature.outputs, *signature.gradients)))
    terms = assemble.bound(signature, reference.ops(), gpu).terms
    kept = min(written, l2_bytes) / gpu.achievable_bandwidth
    least = max(0.0, terms["dram"] - kept)
    if timing.seconds < _MARGIN * least:
        raise StageFailed(
            Verdict.REJECTED,
            f"Its time of {duration(timing.seconds)} is impossible: to read the task's inputs and weights once takes "
            f"{duration(least)} at the copy bandwidth of this GPU. It leaves some of them out.",
            "faster than memory allows",
            {"timing": timing.model_dump(mode="json")},
        )


def summary(timing: Timing) -> str:
    """One line: cold and warm, each baseline's speed-up, and what speaks against the figures."""
    found = timing.measurement
    if found is None:
        return ""
    own = found.times[CANDIDATE]
    parts = [f"{mode} L2 {duration(own[mode]['value'])}" for mode in MODES if mode in own]
    parts += [f"{modes[COLD]['value']:.2f}x {name}" for name, modes in found.speedups.items()]
    if found.budget_ended:
        parts.append(f"standard error {100 * found.standard_error:.1f} % when the time was up")
    if throttled := sorted({reason for row in found.clocks for reason in row.get("throttled", ())}):
        parts.append(f"throttled: {', '.join(throttled)}")
    if clocks := [row["sm_hz"] for row in found.clocks if "sm_hz" in row]:
        parts.append(f"SM clock {statistics.median(clocks) / 1e6:.0f} MHz")
    return ", ".join(parts)
