"""The statistics of measured times: when there are enough, medians with intervals, paired speed-ups, slopes."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from kernelwright.verifier.timing import bootstrap_interval

__all__ = ["Interval", "Slope", "interval", "paired_speedup", "relative_standard_error", "settled", "slope"]

_RESAMPLES = 500  # of a slope
_TAIL = 0.025  # on either side of a 95 % interval


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


def interval(values: Sequence[float]) -> Interval:
    """The median with its percentile bootstrap interval.

    Raises:
        ValueError: no values.
    """
    low, high = bootstrap_interval(values)
    middle = statistics.median(values)
    return Interval(middle, min(low, middle), max(high, middle))


def paired_speedup(baseline: Sequence[float], candidate: Sequence[float]) -> Interval:
    """The median over rounds of baseline's time by candidate's, with its bootstrap interval; rounds stay together.

    Raises:
        ValueError: no rounds, or not as many of one as of the other.
    """
    if len(baseline) != len(candidate):
        raise ValueError("the rounds of baseline and candidate are not paired")
    return interval([b / c for b, c in zip(baseline, candidate, strict=True)])


def relative_standard_error(values: Sequence[float]) -> float:
    """Standard error of the mean over the mean; infinite for fewer than two values."""
    if len(values) < 2:
        return math.inf
    mean = statistics.fmean(values)
    return statistics.stdev(values) / math.sqrt(len(values)) / mean if mean else math.inf


def settled(batches: Sequence[float], *, tolerance: float) -> bool:
    """Whether warm-up is over: the last three batch medians lie within `tolerance` (relative) of each other."""
    last = batches[-3:]
    return len(last) == 3 and max(last) <= min(last) * (1.0 + tolerance)


@dataclass(frozen=True)
class Slope:
    """Wall time against the number of calls: seconds a call, and what does not depend on their number."""

    seconds: float
    offset: float
    low: float
    high: float
    """Ends of a 95 % interval of `seconds`."""


def slope(counts: Sequence[int], walls: Sequence[float], *, seed: int = 0) -> Slope:
    """The Theil-Sen line through (calls, wall seconds): the median of the slopes of all pairs, which a few hiccups do not move.

    Raises:
        ValueError: fewer than two different numbers of calls.
    """
    points = list(zip(counts, walls, strict=True))
    if len(set(counts)) < 2:
        raise ValueError("a slope needs two different numbers of calls")

    def middle(chosen: Sequence[tuple[int, float]]) -> float:
        found = [(w - v) / (n - m) for i, (n, w) in enumerate(chosen) for m, v in chosen[:i] if n != m]
        return statistics.median(found) if found else math.nan

    seconds = middle(points)
    rng = random.Random(seed)
    drawn = sorted(s for _ in range(_RESAMPLES) if not math.isnan(s := middle(rng.choices(points, k=len(points)))))
    cut = round(_TAIL * len(drawn))
    low, high = (drawn[cut], drawn[-1 - cut]) if drawn else (seconds, seconds)
    return Slope(seconds, statistics.median(w - seconds * n for n, w in points), min(low, seconds), max(high, seconds))
