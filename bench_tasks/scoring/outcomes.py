"""What an entry's figures are made of: one outcome for every task and every repeat, those without a trial included.

A speed-up that no kernel could have is cut off here, before anything is averaged: see `credible`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from kernelwright.bench_tasks.scoring.results import AttemptResult, Entry, Trial

__all__ = ["LARGEST_UNBOUNDED", "SMALLEST", "Outcome", "credible", "logs", "outcomes"]

LARGEST_UNBOUNDED = 10.0
"""The largest speed-up that counts where the roofline bound of the task is not known."""
SMALLEST = 0.01
"""The smallest that counts."""


@dataclass(frozen=True)
class Outcome:
    """What came of one task in one repeat."""

    trial: Trial | None
    """None where there was none: it counts as not solved."""
    speedup: float | None
    """Of the best kernel, as far as it is credible; None where the task is not solved."""
    roofline_share: float | None
    """Of that kernel, 1 at most; None where it is not known or the task is not solved."""
    cut: bool = False
    """Whether the speed-up was cut off."""

    @property
    def solved(self) -> bool:
        """Whether a kernel passed and was not refused."""
        return self.speedup is not None

    def kept(self) -> float:
        """The speed-up with the original to fall back on: 1 where the kernel is slower, or there is none."""
        return max(1.0, self.speedup or 1.0)

    def returned(self) -> float:
        """The speed-up of what was returned, 1 where nothing was: that leaves the original."""
        return 1.0 if self.speedup is None else self.speedup


def credible(result: AttemptResult) -> float | None:
    """The speed-up of a kernel that passed, cut off where it would be faster than the roofline bound; None without one.

    Baseline over bound is speed-up over share of the roofline, so a share above 1 says by how much. One tiny time moves no
    average further than the bound lets it.
    """
    if not result.passed or result.speedup is None:
        return None
    if result.roofline_share is None:
        return min(max(result.speedup, SMALLEST), LARGEST_UNBOUNDED)
    return max(result.speedup / max(1.0, result.roofline_share), SMALLEST)


def outcomes(entry: Entry) -> Mapping[str, tuple[Outcome, ...]]:
    """By task, in the entry's order, one for each repeat. Every task has as many as the task with the most."""
    repeats = 1 + max((trial.repeat for trial in entry.trials), default=0)
    found = {(trial.task, trial.repeat): trial for trial in entry.trials}
    return {task: tuple(_outcome(found.get((task, repeat))) for repeat in range(repeats)) for task in entry.tasks}


def logs(entry: Entry, *, kept: bool = True) -> dict[str, float]:
    """By task the logarithm of the speed-up, the mean over repeats.

    Args:
        kept: with the original to fall back on.
    """
    return {
        task: math.fsum(math.log(each.kept() if kept else each.returned()) for each in each_repeat) / len(each_repeat)
        for task, each_repeat in outcomes(entry).items()
    }


def _outcome(trial: Trial | None) -> Outcome:
    best = None if trial is None else trial.best
    if best is None:
        return Outcome(trial, None, None)
    speedup, share = credible(best), best.roofline_share
    assert speedup is not None
    assert best.speedup is not None
    cut = abs(speedup - best.speedup) > 1e-9 * best.speedup
    return Outcome(trial, speedup, None if share is None else min(1.0, share), cut)
