"""Intervals of modelled times: a prior by limiter, held-out residuals once there are any, and what they promise."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_reports import copy, naive_matmul, softmax_rows
from pydantic import ValidationError

from kernelwright.verifier.evaluation import Timing, TimingKind
from kernelwright.verifier.model.eager import eager_time
from kernelwright.verifier.model.gpus import find_gpu
from kernelwright.verifier.model.kernel_time import kernel_time
from kernelwright.verifier.model.uncertainty import (
    PRIOR_FACTORS,
    CalibrationNote,
    Spread,
    interval,
    interval_source,
    spread_of,
    spreads_of,
)

H200 = find_gpu("H200")


def note(**spreads: Spread) -> CalibrationNote:
    return CalibrationNote(
        device="NVIDIA H200", drivers=("580.65.06",), date="2026-11-21T10:00:00Z", samples=57, kernels=12, error=0.1,
        spreads=spreads,
    )  # fmt: skip


@pytest.mark.parametrize(
    "report", [copy(1 << 24), copy(1 << 24, 1, scattered=True), softmax_rows(64, 4096), naive_matmul(512)]
)
def test_every_launch_has_an_interval_around_its_time(report) -> None:
    time = kernel_time(report, H200)
    assert time.seconds_low < time.seconds < time.seconds_high
    assert time.seconds_high / time.seconds == pytest.approx(PRIOR_FACTORS[time.limited_by])
    assert "not calibrated" in time.interval_source


def test_every_limiter_of_a_launch_has_a_prior() -> None:
    assert set(kernel_time(copy(1 << 20), H200).terms) - {"tensor"} <= set(PRIOR_FACTORS)
    assert all(factor > 1 for factor in PRIOR_FACTORS.values())


def test_residuals_of_the_same_limiter_count_first_then_all() -> None:
    calibrated = note(dram=Spread(samples=20, low=-0.05, high=0.1), all=Spread(samples=57, low=-0.5, high=0.7))
    assert interval(1.0, "dram", calibrated) == pytest.approx((math.exp(-0.05), math.exp(0.1)))
    assert interval(1.0, "latency", calibrated) == pytest.approx((math.exp(-0.5), math.exp(0.7)))
    assert interval(1.0, "dram", note()) == interval(1.0, "dram")
    said = interval_source(calibrated)
    assert "calibrated on NVIDIA H200, driver 580.65.06, 2026-11-21 (57 samples of 12 kernels)" in said


@given(st.lists(st.floats(-3, 3), min_size=9, max_size=60))
def test_a_spread_holds_zero_and_four_fifths_of_what_it_is_made_of(residuals) -> None:
    spread = spread_of(residuals)
    assert spread is not None
    assert spread.low <= 0 <= spread.high
    assert sum(spread.low <= r <= spread.high for r in residuals) >= 0.8 * len(residuals)


def test_too_few_residuals_make_no_spread() -> None:
    assert spread_of([0.1] * 8) is None
    assert set(spreads_of([("dram", 0.1)] * 8 + [("l2", 0.2)])) == {"all"}


def test_a_new_value_lies_within_as_often_as_promised() -> None:
    """Conformal: over many draws of 9 to 30 residuals the next one lies within in at least 80 % (here 79, for chance)."""
    rng = random.Random(7)
    within = trials = 0
    for _ in range(4000):
        values = [rng.gauss(0, 1) for _ in range(rng.randint(9, 30))]
        spread = spread_of(values)
        assert spread is not None
        trials += 1
        within += spread.low <= rng.gauss(0, 1) <= spread.high
    assert within / trials >= 0.79


def test_nothing_takes_no_time() -> None:
    nothing = eager_time([], H200)
    assert (nothing.seconds, nothing.seconds_low, nothing.seconds_high) == (0, 0, 0)


@pytest.mark.parametrize("ends", [(1.0, None), (None, 2.0), (2.1, 3.0), (1.0, 1.9), (3.0, 1.0)])
def test_a_timing_lies_within_its_interval(ends) -> None:
    fields = {"kind": TimingKind.MODELLED, "gpu": "H200", "baseline_seconds": 1.0, "bound_seconds": 1.0}
    Timing(seconds=2.0, seconds_low=1.9, seconds_high=2.1, **fields)
    Timing(seconds=2.0, **fields)  # what older versions stored
    with pytest.raises(ValidationError, match="interval"):
        Timing(seconds=2.0, seconds_low=ends[0], seconds_high=ends[1], **fields)
