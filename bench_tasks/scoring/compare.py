"""Two entries side by side, on the tasks that both have, and the ranks that follow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kernelwright.bench_tasks.scoring.intervals import Figure, mean_figure
from kernelwright.bench_tasks.scoring.outcomes import logs
from kernelwright.bench_tasks.scoring.results import Entry

__all__ = ["Pairing", "compare", "ranks"]

_ENOUGH = 6
"""From so many tasks on, all of one sign is no chance at 95 % (sign test: 2 / 2**6)."""


@dataclass(frozen=True)
class Pairing:
    """How much faster the first of two entries is."""

    tasks: int
    """That both have."""
    ratio: Figure
    """The geometric mean of the first's speed-up over the second's, task by task, both with the original to fall back on."""

    @property
    def differ(self) -> bool:
        """Whether a difference is shown: the interval does not hold 1."""
        low, high = self.ratio.low, self.ratio.high
        return low is not None and high is not None and not low <= 1.0 <= high


def compare(first: Entry, second: Entry, *, seed: int) -> Pairing:
    """The first entry beside the second. Paired by task, so what makes a task easy for everyone does not widen the interval.

    Raises:
        ValueError: they have no task in common, or are of other suites, scales, kinds, GPUs or baselines.
    """
    if (a := _ground(first)) != (b := _ground(second)):
        raise ValueError(f"entries on different ground: {a} and {b}")
    one, two = logs(first), logs(second)
    differences = [one[task] - two[task] for task in one if task in two]
    if not differences:
        raise ValueError("the entries have no task in common")
    ratio = mean_figure(differences, seed=seed)
    if ratio.low is None and len(differences) >= _ENOUGH:
        ratio = Figure(ratio.value, ratio.value, ratio.value)  # all alike
    return Pairing(len(differences), ratio.map(math.exp))


def ranks(entries: Sequence[Entry], *, seed: int) -> list[int]:
    """1-based ranks of entries given best first: one that no difference is shown to the first of a rank shares it.

    The next rank is one more than the number of entries before, as in sports.
    """
    found: list[int] = []
    leader = 0
    for place, entry in enumerate(entries):
        if place and compare(entries[leader], entry, seed=seed).differ:
            leader = place
        found.append(leader + 1)
    return found


def _ground(entry: Entry) -> tuple[str, ...]:
    return (entry.suite_digest, entry.scale, entry.timing_kind, entry.gpu, entry.baseline)
