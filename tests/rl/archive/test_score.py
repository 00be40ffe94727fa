"""The draw: by speed, robustly, and by how often a kernel was drawn already."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.rl.archive.score import Candidate, drawn, scaled, weights

seconds = st.floats(1e-9, 1e3)
candidates = st.lists(st.tuples(seconds, st.integers(0, 50)), min_size=1, max_size=20).map(
    lambda found: [Candidate(i, s, o) for i, (s, o) in enumerate(found)]
)


@given(candidates)
def test_weights_are_positive_and_a_faster_kernel_never_weighs_less(found: list[Candidate]) -> None:
    made = weights(found)
    assert all(math.isfinite(w) and w > 0 for w in made)
    for one, w in zip(found, made, strict=True):
        for other, v in zip(found, made, strict=True):
            if one.offspring == other.offspring and one.seconds <= other.seconds:
                assert w >= v


@given(candidates, st.floats(1e-3, 1e3))
def test_the_unit_of_time_and_the_baseline_make_no_difference(found: list[Candidate], factor: float) -> None:
    moved = [Candidate(c.key, c.seconds * factor, c.offspring) for c in found]
    assert weights(moved) == pytest.approx(weights(found), rel=1e-3)


@given(candidates, st.integers(1, 9))
def test_every_child_makes_the_next_one_less_likely(found: list[Candidate], more: int) -> None:
    first = found[0]
    again = [Candidate(first.key, first.seconds, first.offspring + more), *found[1:]]
    assert weights(again)[0] == pytest.approx(weights(found)[0] * (1 + first.offspring) / (1 + first.offspring + more))


def test_one_outlier_does_not_own_the_draw() -> None:
    usual = [Candidate(i, 1e-5 * (1 + 0.02 * i), 0) for i in range(9)]
    made = weights([*usual, Candidate(9, 1e-8, 0)])
    assert made[-1] == max(made)
    assert made[-1] < 2.1 * sorted(made)[5]
    assert made[-1] < 0.25 * sum(made)


def test_equal_times_have_equal_chances() -> None:
    assert scaled([1.0, 1.0, 1.0]) == [0.0, 0.0, 0.0]
    near = weights([Candidate(0, 1e-5, 0), Candidate(1, 1.0001e-5, 0)])
    assert near[0] == pytest.approx(near[1], rel=0.1)


@given(candidates, st.integers())
def test_the_order_of_the_candidates_makes_no_difference(found: list[Candidate], seed: int) -> None:
    shuffled = random.Random(1).sample(found, len(found))
    assert drawn(found, random.Random(seed)) == drawn(shuffled, random.Random(seed))


def test_the_draw_follows_the_weights() -> None:
    found = [Candidate(0, 1e-5, 0), Candidate(1, 2e-5, 0), Candidate(2, 3e-5, 0), Candidate(3, 1e-5, 9)]
    rng = random.Random(3)
    count = [0] * 4
    for _ in range(4000):
        count[drawn(found, rng).key] += 1
    total = sum(weights(found))
    for n, weight in zip(count, weights(found), strict=True):
        assert n / 4000 == pytest.approx(weight / total, abs=0.03)


def test_there_must_be_something_to_draw_from() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        drawn([], random.Random(1))
