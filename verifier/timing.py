"""The modelled timing of verified calls: no time is reported of a call whose outputs were not compared.

Every call of the correctness stage is modelled. What is reported is the median over the calls on the task's own
workload, with a bootstrap interval; a speed-up that would be news is measured again on fresh inputs first, and one that
memory traffic forbids is refused.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from kernelwright.bench_tasks.task import TaskSignature
from kernelwright.sandbox.launch import LaunchReport, OpRecord
from kernelwright.verifier.evaluation import TimedCall, Timing
from kernelwright.verifier.model import assemble
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.verifier.wording import duration

__all__ = ["AGAIN", "JUMP", "ModelledCall", "bootstrap_interval", "impossible", "is_jump", "modelled_call", "timing_of"]

JUMP = 3.0  # times the baseline; what the field calls a jump (CUDA-L1 measures above 3x again)
AGAIN = 3  # calls on fresh inputs after a jump
_RESAMPLES = 2000
_CONFIDENCE = 0.95
_MARGIN = 0.98  # of the traffic's time: below it a kernel is refused (counters are exact, the model rounds a little)


@dataclass(frozen=True)
class ModelledCall:
    """One verified call: its workload, what ran, and the modelled seconds of all that."""

    workload: str
    launches: tuple[LaunchReport, ...]
    operations: tuple[OpRecord, ...]
    seconds: float


def modelled_call(
    workload: str, launches: Sequence[LaunchReport], operations: Sequence[OpRecord], gpu: Gpu
) -> ModelledCall:
    """Models one call.

    Raises:
        LaunchError: a launch that the GPU would refuse for its resources.
    """
    return ModelledCall(
        workload, tuple(launches), tuple(operations), assemble.candidate_seconds(launches, operations, gpu)
    )


def is_jump(timing: Timing) -> bool:
    """Whether a timing must be measured again before it is believed."""
    return timing.speedup > JUMP or timing.seconds < timing.bound_seconds


def timing_of(
    calls: Sequence[ModelledCall],
    own: str,
    eager_ops: Sequence[OpRecord],
    signature: TaskSignature,
    gpu: Gpu,
    *,
    again: bool = False,
) -> tuple[Timing, ModelledCall]:
    """The timing over verified calls, and the call it stands for.

    Args:
        calls: all of them, in order.
        own: the name of the workload with the task's own inputs; its calls make the figure.
        again: the calls were repeated after a jump: the slowest counts then, not the median.

    Raises:
        ValueError: nothing to time.
    """
    mine = sorted((call for call in calls if call.workload == own), key=lambda call: call.seconds)
    if not mine:
        raise ValueError(f"no verified call on {own!r}")
    chosen = mine[-1] if again else mine[(len(mine) - 1) // 2]
    timing = assemble.timing(chosen.launches, chosen.operations, eager_ops, signature, gpu)
    low, high = bootstrap_interval([timing.baseline_seconds / call.seconds for call in mine])
    return timing.model_copy(
        update={
            "speedup_low": min(low, timing.speedup),
            "speedup_high": max(high, timing.speedup),
            "calls": [TimedCall(workload=call.workload, seconds=call.seconds) for call in calls],
            "measured_again": again,
        }
    ), chosen


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float]:
    """The percentile bootstrap interval of the median, 95 %, of 2,000 resamples drawn under a fixed seed.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("an interval needs values")
    if min(values) == max(values):
        return values[0], values[0]
    rng = random.Random(0)
    drawn = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(_RESAMPLES))
    tail = round((1 - _CONFIDENCE) / 2 * _RESAMPLES)
    return drawn[tail], drawn[_RESAMPLES - 1 - tail]


def impossible(timing: Timing, eager_ops: Sequence[OpRecord], signature: TaskSignature, gpu: Gpu) -> str:
    """Why no kernel of this task takes so little time; empty if one may.

    Only bytes are held against a kernel: arithmetic can be saved honestly (algebra, Winograd), but what the function
    reads and gives must cross the memory bus once.
    """
    terms = assemble.bound(signature, eager_ops, gpu).terms
    least = terms["dram"] + terms["launch"]
    if timing.seconds >= _MARGIN * least:
        return ""
    return (
        f"Its time of {duration(timing.seconds)} is impossible: to read the task's inputs and weights and to write its "
        f"outputs once, in one launch, takes {duration(least)} on {gpu.name}. It leaves some of them out."
    )
