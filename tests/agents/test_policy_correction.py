"""The correction: it keeps what it saw, spreads it to like choices, and gives up a prior that results contradict."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernelwright.agents.builtin.policy.correction import Correction

LINE = np.linspace(-1, 1, 11)[:, None]


def model(prior: np.ndarray | None = None) -> Correction:
    return Correction(np.zeros(11) if prior is None else prior, LINE, 0.5, 0.5, 0.02)


def test_nothing_seen_leaves_the_prior() -> None:
    prior = LINE[:, 0] * 2
    mean, deviation = model(prior).believed([], [])
    assert (mean == prior).all()
    assert deviation == pytest.approx(0.5)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 10), min_size=1, max_size=6, unique=True), st.data())
def test_what_was_seen_is_believed_and_surer_than_the_rest(seen: list[int], data: st.DataObject) -> None:
    values = data.draw(st.lists(st.floats(-1.0, 1.0), min_size=len(seen), max_size=len(seen)))
    mean, deviation = model().believed(seen, values)
    assert mean[seen] == pytest.approx(values, abs=0.05)
    assert (deviation[seen] < 0.05).all()
    unseen = [i for i in range(11) if i not in seen]
    assert deviation[unseen].min() > deviation[seen].max()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.floats(-20.0, 5.0))
def test_a_constant_added_to_all_times_changes_no_choice(constant: float) -> None:
    seen, values = [0, 5, 9], [0.3, 0.1, 0.4]
    plain = model().improvement(seen, values)
    shifted = Correction(np.full(11, constant), LINE, 0.5, 0.5, 0.02).improvement(seen, [v + constant for v in values])
    assert shifted == pytest.approx(plain, abs=1e-6)


def test_near_a_fast_choice_more_is_expected_than_near_a_slow_one() -> None:
    gain = model().improvement([1, 9], [0.0, 1.0])
    assert gain[2] > gain[8]
    assert (gain[[1, 9]] < 0).all()


def test_a_prior_that_is_wrong_is_overruled() -> None:
    prior = -LINE[:, 0]  # it believes in the right end
    assert model(prior).improvement([10], [0.0]).argmax() == 9
    # the right end is slow, and the left one, in which it did not believe, is fast
    assert model(prior).improvement([10, 7, 0], [1.0, 1.0, 0.0]).argmax() == 1
