"""Best-so-far curves and what they say of strategies."""

from __future__ import annotations

import math
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelwright.rl.curves import Axis, Curve, Ground, arm_figures, bands, curve_from, known_best

HERE = Ground("t1", "softmax", "H200", "modelled")
THERE = Ground("t2", "matmul", "H200", "modelled")


def curve(times: list[float | None], *, arm: str = "a", ground: Ground = HERE, run: str = "r") -> Curve:
    return curve_from(run, ground, arm, [(i, 2.0, t) for i, t in enumerate(times, 1)], {1: 0.5, 3: 0.25})


def test_a_curve_says_what_was_best_and_spent_after_each_evaluation() -> None:
    made = curve([None, 4.0, 5.0, 3.0])
    assert [p.best for p in made.points] == [None, 4.0, 4.0, 3.0]
    assert [p.evaluations for p in made.points] == [1, 2, 3, 4]
    assert [p.dollars for p in made.points] == [0.5, 0.5, 0.75, 0.75]
    assert [p.seconds for p in made.points] == [2.0, 4.0, 6.0, 8.0]
    assert made.best_at(Axis.SECONDS, 7.9) == 4.0
    assert made.best_at(Axis.SECONDS, 1e9) == 3.0  # it ended and keeps what it had
    assert made.best_at(Axis.EVALUATIONS, 1) is None
    assert made.needed(Axis.EVALUATIONS, 4.0) == 2
    assert made.needed(Axis.DOLLARS, 3.5) == 0.75
    assert made.needed(Axis.SECONDS, 2.9) is None


def test_money_of_attempts_that_never_ended_is_not_lost() -> None:
    made = curve_from("r", HERE, "a", [(1, 1.0, 2.0), (2, 1.0, 1.0)], {1: 1.0, 2: 2.0, 7: 4.0})
    assert [p.dollars for p in made.points] == [1.0, 7.0]


def test_the_best_known_may_be_of_a_kernel_that_is_in_none_of_the_runs() -> None:
    curves = [curve([4.0]), curve([None], ground=THERE)]
    assert known_best(curves, {}) == {HERE: 4.0}
    assert known_best(curves, {HERE: 3.0, THERE: 9.0}) == {HERE: 3.0, THERE: 9.0}
    assert known_best(curves, {HERE: 5.0}) == {HERE: 4.0}


def test_bands_average_over_tasks_not_over_runs() -> None:
    """A task with many runs counts as much as one with a single run."""
    curves = [curve([2.0], run=str(i)) for i in range(3)] + [curve([10.0], ground=THERE)]
    (band,) = bands(curves, Axis.EVALUATIONS, {HERE: 1.0, THERE: 10.0})
    assert band.at == (1.0,)
    assert band.shares[0].value == pytest.approx((0.5 + 1.0) / 2)


def test_nothing_that_passed_counts_as_nought() -> None:
    (band,) = bands([curve([None, 1.0]), curve([None, None])], Axis.EVALUATIONS, {HERE: 1.0})
    assert [f.value for f in band.shares] == [0.0, 0.5]


def test_an_axis_on_which_nothing_was_spent_has_no_bands() -> None:
    free = curve_from("r", HERE, "a", [(1, 1.0, 2.0)], {})
    assert bands([free], Axis.DOLLARS, {HERE: 1.0}) == []
    assert bands([], Axis.EVALUATIONS, {}) == []


def test_arms_are_compared_with_the_control_by_task() -> None:
    slow = [curve([9.0] * 7 + [1.0], arm="best-of-n"), curve([9.0] * 3 + [1.0], arm="best-of-n", ground=THERE)]
    fast = [curve([9.0, 1.0], arm="evolve"), curve([9.0, 1.04], arm="evolve", ground=THERE)]
    one, two = arm_figures([*slow, *fast], {HERE: 1.0, THERE: 1.0}, control="best-of-n", within=0.05)
    assert (one.arm, one.ratio, one.evaluations.value) == ("best-of-n", None, 6.0)
    assert two.evaluations.value == 2.0
    assert two.ratio is not None
    assert two.ratio.value == pytest.approx(math.sqrt(2 / 8 * 2 / 4))
    assert two.ratio_tasks == 2


def test_runs_that_never_got_there_are_counted_and_told() -> None:
    (row,) = arm_figures(
        [curve([9.0, 1.0]), curve([9.0] * 6), curve([None] * 4)], {HERE: 1.0}, control=None, within=0.05
    )
    assert (row.runs, row.passed, row.missed) == (3, 2, 2)
    assert row.evaluations.value == pytest.approx((2 + 6 + 4) / 3)
    assert row.share.value == pytest.approx((1 + 1 / 9 + 0) / 3)


def test_a_margin_of_nothing_still_forgives_what_is_no_difference() -> None:
    (row,) = arm_figures([curve([1.004])], {HERE: 1.0}, control=None, within=0.0)
    assert row.missed == 0


def test_there_is_no_ratio_without_a_task_in_common() -> None:
    rows = arm_figures(
        [curve([1.0], arm="a"), curve([1.0], arm="b", ground=THERE)], {HERE: 1.0, THERE: 1.0}, control="a", within=0.05
    )
    assert [row.ratio for row in rows] == [None, None]


TIMES = st.lists(st.none() | st.floats(0.1, 100.0), min_size=1, max_size=30)


@settings(deadline=None, max_examples=20)  # each draws two thousand samples at every place
@given(st.lists(TIMES, min_size=1, max_size=5))
def test_shares_only_rise_and_stay_between_nought_and_one(runs: list[list[float | None]]) -> None:
    curves = [curve(times, run=str(i)) for i, times in enumerate(runs)]
    known = known_best(curves, {})
    if not known:
        return
    for axis in Axis:
        for band in bands(curves, axis, known):
            values = [figure.value for figure in band.shares]
            assert all(0 <= value <= 1 for value in values)
            assert values == sorted(values)
            assert list(band.at) == sorted(set(band.at))


@settings(deadline=None, max_examples=20)  # each draws two thousand samples at every place
@given(st.lists(TIMES, min_size=1, max_size=5))
def test_the_last_place_of_a_band_is_the_end_of_the_runs(runs: list[list[float | None]]) -> None:
    curves = [curve(times, run=str(i)) for i, times in enumerate(runs)]
    known = known_best(curves, {})
    if known:
        (row,) = arm_figures(curves, known, control=None, within=0.05)
        for axis in (Axis.EVALUATIONS, Axis.SECONDS):
            (band,) = bands(curves, axis, known)
            assert band.shares[-1].value == pytest.approx(row.share.value)
            assert band.at[-1] == pytest.approx(max(c.end(axis) for c in curves))


@settings(deadline=None, max_examples=20)  # each draws two thousand samples at every place
@given(st.lists(TIMES, min_size=1, max_size=5))
def test_scaling_all_times_changes_nothing(runs: list[list[float | None]]) -> None:
    def rows(scale: float) -> list[float]:
        curves = [curve([t and t * scale for t in times], run=str(i)) for i, times in enumerate(runs)]
        known = known_best(curves, {})
        found = arm_figures(curves, known, control=None, within=0.05) if known else []
        return [value for row in found for value in (row.share.value, row.evaluations.value)]

    assert rows(1.0) == pytest.approx(rows(1024.0))


def test_the_mean_is_of_the_runs_where_there_is_one_task() -> None:
    curves = [curve([t], run=str(t)) for t in (1.0, 2.0, 4.0)]
    (band,) = bands(curves, Axis.EVALUATIONS, {HERE: 1.0})
    assert band.shares[0].value == pytest.approx(fmean([1, 0.5, 0.25]))
    assert band.shares[0].low is not None
