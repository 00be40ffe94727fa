"""Intervals, against scipy where it has them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from kernelwright.bench_tasks.scoring.intervals import _quantile, mean_figure, median_figure, share_figure


@pytest.mark.parametrize("n", [2, 3, 4, 6, 10, 30, 100])
def test_the_widening_is_students(n: int) -> None:
    assert _quantile(n) == pytest.approx(stats.t.ppf(0.975, n - 1) * math.sqrt(n / (n - 1)), rel=0.01)


def test_the_mean_has_the_bca_interval_of_scipy() -> None:
    sample = np.random.default_rng(3).gamma(1.0, 1.0, 400)  # so many that the widening is nothing
    ours = mean_figure(list(sample), seed=5, draws=20_000)
    theirs = stats.bootstrap((sample,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(4))
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.03 * width)


def test_the_median_has_the_percentile_interval_of_scipy() -> None:
    sample = np.random.default_rng(3).normal(0.0, 1.0, 301)
    ours = median_figure(list(sample), seed=5, draws=20_000)
    theirs = stats.bootstrap(
        (sample,), np.median, n_resamples=20_000, method="percentile", rng=np.random.default_rng(4)
    )
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.05 * width)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.05 * width)


@pytest.mark.parametrize(("solved", "tasks"), [(0, 60), (60, 60), (1, 3)])
def test_a_share_has_wilsons_interval(solved: int, tasks: int) -> None:
    ours = share_figure([1.0] * solved + [0.0] * (tasks - solved))
    theirs = stats.binomtest(solved, tasks).proportion_ci(0.95, "wilson")
    # between 0 and 1 the spread of a sample takes one trial off
    assert ours.low == pytest.approx(theirs.low, abs=0.07 if tasks == 3 else 1e-9)
    assert ours.high == pytest.approx(theirs.high, abs=0.07 if tasks == 3 else 1e-9)


def test_repeats_narrow_a_share_only_where_tasks_are_alike() -> None:
    alike, apart = [0.5] * 40, [0.0, 1.0] * 20
    widths = []
    for figure in (share_figure(alike, 4), share_figure(apart, 4)):
        assert figure.value == 0.5
        assert figure.low is not None
        widths.append(0.5 - figure.low)
    assert widths[0] == pytest.approx(widths[1] / 2, rel=0.06)  # 160 trials and 39


def test_the_same_seed_gives_the_same_interval() -> None:
    values = list(np.random.default_rng(0).normal(0.3, 1.0, 50))
    assert mean_figure(values, seed=1) == mean_figure(values, seed=1) != mean_figure(values, seed=2)


@pytest.mark.parametrize("values", [[1.0], [0.3] * 9])
def test_no_interval_where_nothing_spreads(values: list[float]) -> None:
    for figure in (mean_figure(values, seed=0), median_figure(values, seed=0)):
        assert (figure.value, figure.low, figure.high) == (pytest.approx(values[0]), None, None)
