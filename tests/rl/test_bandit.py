"""The bandit over operators and models: what it learns, and what it does not let itself be told."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelwright.rl.bandit import LARGEST_GAIN, Arm, Outcome, choose, gain
from kernelwright.rl.operators import Operator

ARMS = tuple(Arm(operator, author) for operator in (Operator.TUNE, Operator.DIFF, Operator.REWRITE) for author in "ab")
A, B, C = ARMS[:3]

outcomes = st.builds(
    Outcome,
    arm=st.sampled_from(ARMS),
    gain=st.floats(-2, 50),
    dollars=st.floats(0, 5),
    seconds=st.floats(0, 1000),
    passed=st.booleans(),
)
known = st.lists(outcomes, max_size=30)


def share(arm: Arm, done: list[Outcome], arms: tuple[Arm, ...] = ARMS, times: int = 300) -> float:
    return sum(choose(arms, done, random.Random(seed)) == arm for seed in range(times)) / times


def tried_once() -> list[Outcome]:
    return [Outcome(arm, 0.0, 0.01, 10.0, passed=True) for arm in ARMS]


@settings(deadline=None)
@given(st.sets(st.sampled_from(ARMS), min_size=1), known, st.integers())
def test_only_an_arm_on_offer_is_chosen_and_the_same_one_again(arms: set[Arm], done: list[Outcome], seed: int) -> None:
    offered = tuple(sorted(arms, key=str))
    chosen = choose(offered, done, random.Random(seed))
    assert chosen in arms
    assert choose(offered, done, random.Random(seed)) == chosen


@settings(deadline=None)
@given(known, st.integers())
def test_arms_that_were_never_tried_come_first(done: list[Outcome], seed: int) -> None:
    new = set(ARMS) - {outcome.arm for outcome in done}
    assert not new or choose(ARMS, done, random.Random(seed)) in new


def test_new_arms_are_taken_in_no_fixed_order() -> None:
    assert {choose(ARMS, [], random.Random(seed)) for seed in range(60)} == set(ARMS)


@settings(deadline=None)
@given(known, st.integers(), st.integers(-20, 20))
def test_neither_the_currency_nor_the_pace_of_the_machine_matters(done: list[Outcome], seed: int, power: int) -> None:
    factor = 2.0**power
    chosen = choose(ARMS, done, random.Random(seed))
    dearer = [replace(o, dollars=o.dollars * factor) for o in done]
    assert choose(ARMS, dearer, random.Random(seed), dollars_per_hour=2.0 * factor) == chosen
    slower = [replace(o, seconds=o.seconds * factor) for o in done]
    assert choose(ARMS, slower, random.Random(seed), dollars_per_hour=2.0 / factor) == chosen


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 0.6))
def test_a_better_arm_is_chosen_more_often_than_all_others_together(seed: int, worth: float) -> None:
    rng = random.Random(seed)
    done: list[Outcome] = []
    for _ in range(200):
        arm = choose((A, B, C), done, rng)
        chance = 0.6 if arm == B else 0.1
        won = worth * rng.uniform(0.5, 1.5) if rng.random() < chance else 0.0
        done.append(Outcome(arm, won, 0.01, 10.0, passed=True))
    assert Counter(o.arm for o in done[50:])[B] > 75


@pytest.mark.parametrize("cost", [{"dollars": 0.05}, {"seconds": 100.0}])
def test_of_two_equal_arms_the_cheaper_one_is_chosen(cost: dict[str, float]) -> None:
    rng = random.Random(5)
    cheap = [Outcome(A, 0.1 * (rng.random() < 0.5), 0.01, 10.0, passed=True) for _ in range(20)]
    done = [o for one in cheap for o in (one, replace(one, arm=B, **cost))]
    assert share(A, done, (A, B)) > 0.75


def test_time_is_worth_more_where_an_hour_is_dearer() -> None:
    fast_and_dear = [Outcome(A, 0.1, 0.10, 1.0, passed=True)] * 5
    slow_and_free = [Outcome(B, 0.1, 0.0, 200.0, passed=True)] * 5
    done = [*fast_and_dear, *slow_and_free]
    cheap_hours = sum(choose((A, B), done, random.Random(i), dollars_per_hour=0.1) == B for i in range(100))
    dear_hours = sum(choose((A, B), done, random.Random(i), dollars_per_hour=100.0) == B for i in range(100))
    assert cheap_hours > 80
    assert dear_hours < 20


def test_one_huge_gain_is_one_success() -> None:
    steady = [Outcome(B, 0.05, 0.01, 10.0, passed=True) for _ in range(8)]
    lucky = [Outcome(A, 1e6, 0.01, 10.0, passed=True), *(Outcome(A, 0.0, 0.01, 10.0, passed=True) for _ in range(7))]
    done = [o for pair in zip(steady, lucky, strict=True) for o in pair]
    assert share(A, done, (A, B)) < 0.3
    capped = [replace(o, gain=min(o.gain, LARGEST_GAIN)) for o in done]
    assert [choose((A, B), done, random.Random(i)) for i in range(50)] == [
        choose((A, B), capped, random.Random(i)) for i in range(50)
    ]


def test_a_fast_kernel_that_did_not_pass_is_worth_nothing() -> None:
    done = tried_once() + [Outcome(A, 0.6, 0.01, 10.0, passed=False), Outcome(B, 0.6, 0.01, 10.0, passed=True)] * 10
    assert share(A, done) < 0.05
    assert share(B, done) > 0.5


def test_what_helped_long_ago_counts_less_than_what_helps_now() -> None:
    def phase(better: Arm, other: Arm) -> list[Outcome]:
        one, two = Outcome(better, 0.1, 0.01, 10.0, passed=True), Outcome(other, 0.0, 0.01, 10.0, passed=True)
        return [one, two] * 40

    assert share(B, phase(A, B) + phase(B, A), (A, B)) > 0.8


def test_free_and_instant_attempts_are_compared_by_their_gain() -> None:
    done = [Outcome(A, 0.1, 0.0, 0.0, passed=True), Outcome(B, 0.0, 0.0, 0.0, passed=True)] * 10
    assert share(A, done, (A, B)) > 0.9


def test_nothing_on_offer_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="no arm"):
        choose((), tried_once(), random.Random(0))


@pytest.mark.parametrize("wrong", [{"dollars": -1.0}, {"seconds": math.inf}, {"dollars": math.nan}, {"gain": math.nan}])
def test_an_outcome_that_can_not_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"costs|number"):
        replace(tried_once()[0], **wrong)


@settings(deadline=None)
@given(st.floats(1e-9, 1e3), st.floats(1e-9, 1e3))
def test_a_gain_is_the_logarithm_of_the_improvement_within_bounds(before: float, after: float) -> None:
    found = gain(before, after)
    assert 0 <= found <= LARGEST_GAIN
    if before <= after:
        assert found == 0
    elif before < 2 * after:
        assert found == pytest.approx(math.log(before / after))
    else:
        assert found == LARGEST_GAIN


def test_the_first_kernel_that_passes_is_worth_the_most_and_one_that_fails_nothing() -> None:
    assert gain(None, 1.0) == LARGEST_GAIN
    assert gain(1.0, None) == gain(None, None) == 0.0
