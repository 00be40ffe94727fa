"""How well modelled and measured times agree: whether the order is right, and how far off the sizes are."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Agreement", "agreement", "median_error", "spearman"]


@dataclass(frozen=True)
class Agreement:
    """Of pairs of modelled and measured times."""

    pairs: int
    spearman: float | None
    """Rank correlation, in [-1, 1]; None with fewer than three pairs, or where one side is all the same."""
    median_error: float
    """Median of abs(modelled / measured - 1)."""
    worst_error: float
    """The largest factor between the two, either way: 2 is twice or half."""
    within: float | None
    """Share of the measured times within the modelled ones' intervals; None where none were given."""

    def to_json(self) -> dict[str, float | int | None]:
        """A JSON object."""
        return {
            "pairs": self.pairs, "spearman": self.spearman, "median_error": self.median_error,
            "worst_error": self.worst_error, "within_interval": self.within,
        }  # fmt: skip


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1; equal values share the mean of theirs."""
    order = sorted(range(len(values)), key=lambda at: values[at])
    ranks = [0.0] * len(values)
    first = 0
    while first < len(order):
        last = first
        while last + 1 < len(order) and values[order[last + 1]] == values[order[first]]:
            last += 1
        for at in order[first : last + 1]:
            ranks[at] = (first + last) / 2 + 1
        first = last + 1
    return ranks


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rank correlation (C. Spearman 1904): Pearson's of the ranks, with mean ranks for ties.

    Returns None where it is not defined: fewer than three pairs, or all of one side the same.

    Raises:
        ValueError: lists of different lengths, or a value that is no finite number.
    """
    _check(first, second)
    if len(first) < 3:
        return None
    a, b = _ranks(first), _ranks(second)
    if len(set(a)) == 1 or len(set(b)) == 1:
        return None
    return min(1.0, max(-1.0, statistics.correlation(a, b)))


def median_error(modelled: Sequence[float], measured: Sequence[float]) -> float:
    """Median of abs(modelled / measured - 1).

    Raises:
        ValueError: no pair, lists of different lengths, or a time that is not positive and finite.
    """
    _check(modelled, measured, positive=True)
    return statistics.median(abs(a / b - 1.0) for a, b in zip(modelled, measured, strict=True))


def agreement(
    modelled: Sequence[float], measured: Sequence[float], intervals: Sequence[tuple[float, float]] | None = None
) -> Agreement:
    """All of it at once, of times in seconds.

    Args:
        intervals: of the modelled times, their low and high ends.

    Raises:
        ValueError: no pair, lists of different lengths, or a time that is not positive and finite.
    """
    _check(modelled, measured, positive=True)
    within = None
    if intervals is not None:
        if len(intervals) != len(measured):
            raise ValueError(f"{len(intervals)} intervals of {len(measured)} times")
        within = sum(low <= t <= high for (low, high), t in zip(intervals, measured, strict=True)) / len(measured)
    return Agreement(
        pairs=len(modelled),
        spearman=spearman(modelled, measured),
        median_error=median_error(modelled, measured),
        worst_error=max(max(a / b, b / a) for a, b in zip(modelled, measured, strict=True)),
        within=within,
    )


def _check(first: Sequence[float], second: Sequence[float], *, positive: bool = False) -> None:
    if len(first) != len(second):
        raise ValueError(f"{len(first)} values against {len(second)}: agreement is of pairs")
    if not all(math.isfinite(value) for value in (*first, *second)):
        raise ValueError("a value is no finite number")
    if positive and (not first or min(*first, *second) <= 0):
        raise ValueError(
            "agreement is of at least one pair of positive times" if not first else "a time is not positive"
        )
