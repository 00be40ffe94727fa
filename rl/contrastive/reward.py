"""The reward of a kernel: paired, robustly scaled, clipped, gated by the verdict.

After CUDA-L1 (Li et al. 2025, https://arxiv.org/abs/2507.14111) with what its authors learned about reward hacking:

- **Paired.** The speed-up is the reference's time over the kernel's, both of the same evaluation.
- **Robust.** Its logarithm is centred and scaled by the median and the median absolute deviation of the task's history (the
  kernels that passed before the stage of training began, each once). The scale then stays as it is, so that a rising mean
  reward is a rising speed-up and not a moving yardstick. CUDA-L1 takes mean and standard deviation; one kernel at 120x moves
  those and hardly moves these.
- **Clipped** to `CLIP` deviations on each side, as published.
- **Gated.** What did not pass is below everything that passed, graded by how far it came. Cheating has the floor, and so has
  what the verifier refuses because no honest kernel does it.
- **Jumps** (`is_jump`) are evaluated again with new secret seeds, and the slower evaluation counts; see `reward_of`.

Everything here is a function of its arguments; the result is always finite, lies between `FLOOR` and `MOST`, and is a multiple of
`GRID`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from kernelwright.verifier.evaluation import Evaluation, StageStatus, Verdict

__all__ = [
    "CLIP",
    "FLOOR",
    "GAMMA",
    "GRID",
    "JUMP",
    "LEAST_HISTORY",
    "LEAST_PASSED",
    "MOST",
    "NO_KERNEL",
    "PRIOR",
    "Scale",
    "is_cheating",
    "is_jump",
    "returns",
    "reward_of",
    "scale_of",
    "speedup_of",
]

FLOOR = -1.0
"""Of a kernel that cheats: nothing is lower."""
MOST = 1.0
"""Of the fastest kernels."""
LEAST_PASSED = 0.25
"""Of the slowest kernel that passed. The gap to what failed is wider than any step between failures."""
NO_KERNEL = -0.75
"""Of a reply that holds no module to judge."""
FAILED: Mapping[Verdict, float] = MappingProxyType(
    {
        Verdict.CHEATING: FLOOR,
        Verdict.REJECTED: NO_KERNEL,
        Verdict.UNSUPPORTED: -0.6875,
        Verdict.COMPILE_ERROR: -0.625,
        Verdict.TIMEOUT: -0.5,
        Verdict.CRASHED: -0.5,
        Verdict.UNSAFE: -0.375,
        Verdict.WRONG: -0.25,
        Verdict.OUTCLASSED: -0.1875,
    }
)
"""By verdict: the further a kernel came through the stages, the more."""
CLIP = 1.5
"""Robust standard deviations; CUDA-L1's number."""
JUMP = 3.0
"""Times the reference from which a speed-up is checked again."""
JUMP_OVER_BEST = 2.0
"""Times the best speed-up of the task so far, likewise."""
LEAST_HISTORY = 8
"""Kernels that a scale is taken from; with fewer their deviation is chance, and `PRIOR` holds."""
LEAST_SPREAD = 0.1
"""Natural logarithms: about 10 % of a time. Kernels that differ by less than the noise must not fill the scale."""
GAMMA = 0.4
"""Discount of a turn against the one before; the number of Kevin (Baronio et al. 2025, https://arxiv.org/abs/2507.11948)."""
GRID = 1 / 1024
"""Rewards are multiples of it, so that sums and means of equal ones are exact in float32. GRPO divides differences from the mean
of a group by its deviation: of equal rewards a residue of rounding would be left, and Adam makes a full step of any gradient."""

_MAD_TO_SIGMA = 1.4826  # of a normal distribution
_HONEST_MISTAKES = frozenset({"not_python", "no_model_new", "no_cuda_kernel", "no_kernel_launched"})
"""Rules of static analysis that reject what is no kernel yet; the others reject what no honest kernel does."""
_TIMING = frozenset({"timing", "gpu timing"})


@dataclass(frozen=True)
class Scale:
    """What speed-ups of a task are held against: natural logarithms of times the reference."""

    centre: float
    spread: float
    """One robust standard deviation, above zero."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.centre) and math.isfinite(self.spread) and self.spread > 0):
            raise ValueError(f"no scale: centre {self.centre}, spread {self.spread}")


PRIOR = Scale(centre=0.0, spread=math.log(2.0))
"""Of a task with little history: as fast as the reference is the middle, twice as fast one deviation above."""


def scale_of(speedups: Iterable[float]) -> Scale:
    """The scale of a task from its history.

    Args:
        speedups: of kernels that passed, each kernel once; what is not finite and above zero is passed over.
    """
    logs = [math.log(s) for s in speedups if math.isfinite(s) and s > 0]
    if len(logs) < LEAST_HISTORY:
        return PRIOR
    centre = statistics.median(logs)
    deviation = statistics.median(abs(x - centre) for x in logs)
    return Scale(centre, max(LEAST_SPREAD, _MAD_TO_SIGMA * deviation))


def speedup_of(evaluation: Evaluation) -> float | None:
    """Times the reference, of the same evaluation; None if it did not pass or the two times make no finite number."""
    timing = evaluation.timing
    if timing is None:
        return None
    speedup = timing.baseline_seconds / timing.seconds
    return speedup if math.isfinite(speedup) and speedup > 0 else None


def is_jump(evaluation: Evaluation, best_before: float | None) -> bool:
    """Whether an evaluation is too good to be believed at once.

    Args:
        best_before: the best speed-up of the task so far, None while there is none.
    """
    speedup = speedup_of(evaluation)
    if speedup is None:
        return False
    return speedup > JUMP or (best_before is not None and speedup > JUMP_OVER_BEST * best_before)


def is_cheating(evaluation: Evaluation) -> bool:
    """Whether the floor is due: the verdict says so, or a rule was broken that no honest kernel breaks, or a time is impossible."""
    if evaluation.verdict is Verdict.CHEATING:
        return True
    if evaluation.verdict is not Verdict.REJECTED:
        return False
    stage = next((s for s in evaluation.stages if s.status is StageStatus.FAILED), None)
    if stage is None:
        return False
    if stage.name in _TIMING:  # faster than memory allows: inputs or outputs are left out
        return True
    rules = [f.get("rule") for f in stage.evidence.get("findings", ()) if f.get("severity") == "reject"]
    return any(rule not in _HONEST_MISTAKES for rule in rules)


def reward_of(evaluations: Sequence[Evaluation], scale: Scale) -> float:
    """The reward of one kernel from all its evaluations: of the slowest if it always passed, else of the worst verdict.

    Args:
        evaluations: at least one; a jump has two or more, each with secret seeds of its own.
        scale: of the task.

    Raises:
        ValueError: no evaluation, or not all of the same kernel, task and kind of time.
    """
    if not evaluations:
        raise ValueError("a reward needs an evaluation")
    kinds = {e.timing.kind for e in evaluations if e.timing is not None}
    if len(kinds) > 1 or len({(e.task_id, e.kernel_id) for e in evaluations}) > 1:
        raise ValueError("evaluations of different kernels, tasks or kinds of time have no common reward")
    return min(_single(e, scale) for e in evaluations)


def _single(evaluation: Evaluation, scale: Scale) -> float:
    if is_cheating(evaluation):
        return FLOOR
    if not evaluation.passed:
        return FAILED[evaluation.verdict]
    speedup = speedup_of(evaluation)
    if speedup is None:
        return LEAST_PASSED
    deviations = (math.log(speedup) - scale.centre) / scale.spread
    share = (min(CLIP, max(-CLIP, deviations)) + CLIP) / (2 * CLIP)
    return _on_grid(LEAST_PASSED + share * (MOST - LEAST_PASSED))


def _on_grid(value: float) -> float:
    return round(value / GRID) * GRID


def returns(rewards: Sequence[float | None], cheated: Sequence[bool], gamma: float = GAMMA) -> list[float | None]:
    """What each turn of a conversation is credited with: its reward and those of later turns, discounted (Kevin).

    A turn that cheated has the floor whatever came after it, and no turn is credited with less.

    Args:
        rewards: of the turns, in order; None where nobody could judge.
        cheated: whether each turn cheated.
        gamma: in [0, 1].

    Returns:
        One value a turn; None for a turn that was not judged and for those before it, whose sum is not known.
    """
    found: list[float | None] = []
    later: float | None = 0.0
    for reward, bad in zip(reversed(rewards), reversed(cheated), strict=True):
        later = None if reward is None or later is None else reward + gamma * later
        found.append(
            None if reward is None else FLOOR if bad else None if later is None else max(FLOOR, _on_grid(later))
        )
    return found[::-1]
