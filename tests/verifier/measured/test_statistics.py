"""The statistics of measured times, on data whose truth is known."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.verifier.measured.statistics import interval, paired_speedup, relative_standard_error, settled, slope


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = random.Random(3)
    covered = 0
    for _ in range(200):
        values = [rng.lognormvariate(0.0, 0.05) for _ in range(25)]  # its median is 1
        found = interval(values)
        covered += found.low <= 1.0 <= found.high
    assert 0.90 <= covered / 200 <= 0.995


def test_a_paired_speedup_does_not_see_what_both_have_in_common() -> None:
    rng = random.Random(4)
    drift = [1.0 + 0.5 * math.sin(i / 3) for i in range(30)]
    candidate = [d * rng.gauss(1.0, 0.01) for d in drift]
    baseline = [2.0 * d * rng.gauss(1.0, 0.01) for d in drift]
    found = paired_speedup(baseline, candidate)
    assert found.low <= 2.0 <= found.high
    assert found.high - found.low < 0.05  # drift alone moves the times by 100 %
    with pytest.raises(ValueError, match="paired"):
        paired_speedup([1.0], [1.0, 2.0])


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=30))
def test_an_interval_holds_its_figure_and_lies_within_the_values(values: list[float]) -> None:
    found = interval(values)
    assert min(values) <= found.low <= found.value <= found.high <= max(values)


def test_standard_error() -> None:
    # textbook: 2, 4, 4, 4, 5, 5, 7, 9 have mean 5 and sample variance 32 / 7
    assert relative_standard_error([2, 4, 4, 4, 5, 5, 7, 9]) == pytest.approx(math.sqrt(32 / 7 / 8) / 5)
    assert relative_standard_error([1.0]) == math.inf


def test_warm_up_is_over_when_three_batches_agree() -> None:
    assert not settled([1.0, 1.0], tolerance=0.02)
    assert not settled([3.0, 1.03, 1.0], tolerance=0.02)
    assert settled([3.0, 1.01, 1.0, 1.015], tolerance=0.02)


def test_the_slope_is_found_through_hiccups() -> None:
    rng = random.Random(5)
    counts = [rng.randint(2, 200) for _ in range(12)]
    walls = [0.06 + 3e-5 * n + rng.uniform(0, 2e-5) for n in counts]
    walls[3] += 0.02
    walls[7] += 0.05
    found = slope(counts, walls)
    assert found.seconds == pytest.approx(3e-5, rel=0.05)
    assert found.low <= found.seconds <= found.high
    assert found.offset == pytest.approx(0.06, rel=0.01)
    with pytest.raises(ValueError, match="two different"):
        slope([5, 5], [1.0, 1.0])
