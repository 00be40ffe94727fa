"""Intervals of figures over tasks: bootstrap for means and medians, Wilson for shares. Each takes one value a task.

The task is the unit that is drawn: repeats enter through the mean of their task. Drawing repeats within drawn tasks as well
would count their spread twice (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8);
docs/metrics.md has the measured coverage of both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, median, variance

__all__ = ["DRAWS", "Figure", "mean_figure", "median_figure", "share_figure"]

DRAWS = 2000
"""Bootstrap samples of an interval: its ends are then known to about a twentieth of its width."""
_LEVEL = 0.95
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Figure:
    """A value with its 95 % interval."""

    value: float
    low: float | None = None
    """None, as `high`, where there is no interval: fewer than two tasks, or no spread that one could be made of."""
    high: float | None = None

    def map(self, function: Callable[[float], float]) -> Figure:
        """The figure on another scale.

        Args:
            function: increasing, of one number.
        """
        ends = (None if end is None else function(end) for end in (self.low, self.high))
        return Figure(function(self.value), *ends)


def mean_figure(values: Sequence[float], *, seed: int, draws: int = DRAWS) -> Figure:
    """The mean, with the bias-corrected and accelerated bootstrap interval at levels widened for few tasks.

    BCa after Efron, Better Bootstrap Confidence Intervals (1987); the widening after Hesterberg, What Teachers Should
    Know About the Bootstrap (2015), section 5.1: the normal quantile becomes Student's, times sqrt(n / (n - 1)).

    Args:
        values: one for each task.
        seed: of the draws: the same one gives the same interval.
    """
    import numpy as np

    value, n = fmean(values), len(values)
    if n < 2 or max(values) - min(values) < 1e-12:
        return Figure(value)
    sample = np.asarray(values)
    means = sample[np.random.default_rng(seed).integers(0, n, (draws, n))].mean(axis=1)
    below = float((means < value).mean() + (means == value).mean() / 2)
    bias = _NORMAL.inv_cdf(min(max(below, 1 / draws), 1 - 1 / draws))
    deviations = sample - sample.mean()  # of the jackknife's means, but for a factor that cancels
    acceleration = float((deviations**3).sum() / (6 * ((deviations**2).sum()) ** 1.5))
    width = _quantile(n)

    def level(z: float) -> float:
        return _NORMAL.cdf(bias + (bias + z) / max(1 - acceleration * (bias + z), 0.05))

    low, high = np.quantile(means, [level(-width), level(width)])
    return Figure(value, min(float(low), value), max(float(high), value))


def median_figure(values: Sequence[float], *, seed: int, draws: int = DRAWS) -> Figure:
    """The median, with the percentile bootstrap interval at levels widened as for the mean. Arguments as there."""
    import numpy as np

    value, n = median(values), len(values)
    if n < 2 or max(values) - min(values) < 1e-12:
        return Figure(value)
    sample = np.asarray(values)
    medians = np.median(sample[np.random.default_rng(seed).integers(0, n, (draws, n))], axis=1)
    tail = _NORMAL.cdf(-_quantile(n))
    low, high = np.quantile(medians, [tail, 1 - tail])
    return Figure(value, float(low), float(high))


def share_figure(shares: Sequence[float], repeats: int = 1) -> Figure:
    """The mean of shares between 0 and 1, with Wilson's score interval for as many independent trials as would spread so.

    With one repeat those are as many as tasks; with several, more where tasks differ little from one another. Unlike a
    bootstrap interval it has a width where all tasks agree.

    Args:
        shares: one for each task.
        repeats: trials behind each.
    """
    value, n = fmean(shares), len(shares)
    spread = variance(shares) / n if n > 1 else 0.0
    room = value * (1 - value)
    trials = float(n) if room <= 0 else float(n * repeats) if spread < 1e-12 else min(room / spread, float(n * repeats))
    z = _NORMAL.inv_cdf((1 + _LEVEL) / 2)
    middle = (value + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(room / trials + z * z / (4 * trials * trials))
    return Figure(value, max(0.0, min(middle - half, value)), min(1.0, max(middle + half, value)))


def _quantile(n: int) -> float:
    """Of Student's distribution with n - 1 degrees of freedom, times sqrt(n / (n - 1)): how far an end lies out.

    Student's by the series of Cornish and Fisher (Abramowitz and Stegun 26.7.5), exactly for one and two degrees.
    """
    z, free = _NORMAL.inv_cdf((1 + _LEVEL) / 2), n - 1
    if free == 1:
        student = math.tan(math.pi * _LEVEL / 2)
    elif free == 2:
        student = _LEVEL * math.sqrt(2 / (1 - _LEVEL**2))
    else:
        student = (
            z
            + (z**3 + z) / (4 * free)
            + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
            + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * free**3)
            + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * free**4)
        )
    return student * math.sqrt(n / free)
