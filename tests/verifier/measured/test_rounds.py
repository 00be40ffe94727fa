"""Rounds of timing with simulated participants: a clock that runs as they say, and what they were asked."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from kernelwright.verifier.measured.gpu_stages import agrees
from kernelwright.verifier.measured.rounds import COLD, WARM, Plan, measure, wall_clock

LAUNCH = 5e-6


class Clock:
    """The judge's clock, moved by the participants."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclass(frozen=True)
class Batch:
    seconds: tuple[float, ...]
    wall_seconds: float
    queued_seconds: float


@dataclass
class Simulated:
    """Calls of `warm` seconds, half as long again with a cold cache, with noise; `claim` of it is what it says."""

    clock: Clock
    warm: float
    noise: float = 0.01
    claim: float = 1.0
    slow_start: float = 0.0
    asked: list[dict[str, Any]] = field(default_factory=list)
    rng: random.Random = field(default_factory=lambda: random.Random(1))

    def repeat(
        self, order: Sequence[int], *, cold: bool, fresh: bool = True, spin: float = 0.0, compiling: bool = False
    ) -> Batch:
        self.asked.append({"order": list(order), "cold": cold, "fresh": fresh, "spin": spin, "compiling": compiling})
        slow = 1.0 + self.slow_start * 0.5 ** len(self.asked)
        taken = [slow * self.warm * (1.5 if cold else 1.0) * math.exp(self.rng.gauss(0.0, self.noise)) for _ in order]
        # launching hides behind the spin
        wall = max(spin, LAUNCH * len(order)) + sum(taken) + abs(self.rng.gauss(0, 2e-5))
        self.clock.seconds += wall
        # without it, events hold what launching costs
        launching = 0.0 if spin >= LAUNCH * len(order) else LAUNCH
        return Batch(tuple(self.claim * each + launching for each in taken), wall, LAUNCH * len(order))


def test_all_take_part_in_every_round_and_orders_change() -> None:
    clock = Clock()
    people = {"candidate": Simulated(clock, 1e-4), "eager": Simulated(clock, 2e-4)}
    turns = []
    found = measure(
        people, sets=3, plan=Plan(standard_error=0.0, budget_seconds=1e9, most_rounds=8), rng=random.Random(2), now=clock,
        verify=lambda name, order: turns.append((name, tuple(order))),
    )  # fmt: skip
    assert {len(values) for modes in found.medians.values() for values in modes.values()} == {8}
    assert found.budget_ended
    assert len(turns) == 8 * 4
    assert len({tuple(name for name, _ in turns[4 * i : 4 * i + 4]) for i in range(8)}) > 1
    for person in people.values():
        assert {number for asked in person.asked for number in asked["order"]} == {0, 1, 2}
        assert person.asked[0]["compiling"]
        assert all(asked["fresh"] for asked in person.asked)
    assert found.medians["candidate"][WARM][0] == pytest.approx(1e-4, rel=0.02)
    assert found.medians["eager"][COLD][0] == pytest.approx(3e-4, rel=0.02)


def test_it_ends_when_the_standard_error_is_reached() -> None:
    clock = Clock()
    found = measure(
        {"candidate": Simulated(clock, 1e-4, noise=0.02)}, sets=2, plan=Plan(most_rounds=50, budget_seconds=1e9),
        rng=random.Random(2), now=clock,
    )  # fmt: skip
    assert found.standard_error() <= 0.005
    assert not found.budget_ended
    assert 5 <= len(found.medians["candidate"][COLD]) < 50


def test_it_ends_when_the_time_is_up_and_says_so() -> None:
    clock = Clock()
    found = measure(
        {"candidate": Simulated(clock, 1e-2, noise=0.5)}, sets=2, plan=Plan(budget_seconds=2.0, most_rounds=500),
        rng=random.Random(2), now=clock,
    )  # fmt: skip
    assert found.budget_ended
    assert 2 <= len(found.medians["candidate"][COLD]) < 500


def test_warm_up_waits_until_times_settle_or_says_that_they_do_not() -> None:
    clock = Clock()
    slow = Simulated(clock, 1e-4, noise=0.001, slow_start=8.0)
    wild = Simulated(clock, 1e-4, noise=0.6)
    found = measure(
        {"slow": slow, "wild": wild}, sets=2, plan=Plan(most_rounds=2, budget_seconds=1e9, most_calls=1, most_warm_up=12),
        rng=random.Random(2), now=clock,
    )  # fmt: skip
    assert found.unsettled == ["wild"]
    assert max(found.medians["slow"][WARM]) < 1.03e-4  # nothing of the slow beginning is in it


def test_launching_is_hidden_behind_work_that_keeps_the_device_busy() -> None:
    clock = Clock()
    short = Simulated(clock, 1e-6, noise=0.001)  # a fifth of what launching it takes
    found = measure(
        {"short": short},
        sets=2,
        plan=Plan(most_rounds=3, budget_seconds=1e9, standard_error=0.0),
        rng=random.Random(2),
        now=clock,
    )
    assert found.medians["short"][WARM] == pytest.approx([1e-6] * 3, rel=0.02)
    assert found.medians["short"][COLD] == pytest.approx([1.5e-6] * 3, rel=0.02)


def test_nothing_to_measure_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing"):
        measure({}, sets=1, plan=Plan(), rng=random.Random(0), now=Clock())
    with pytest.raises(ValueError, match="nothing"):
        measure({"a": Simulated(Clock(), 1.0)}, sets=0, plan=Plan(), rng=random.Random(0), now=Clock())


@pytest.mark.parametrize("seconds", [3e-6, 5e-5, 2e-3, 0.05])
def test_the_judges_clock_agrees_with_an_honest_process(seconds: float) -> None:
    person = Simulated(Clock(), seconds)
    found = wall_clock(person, sets=2, claimed_about=seconds, rng=random.Random(6))
    assert found.slope.low <= seconds <= found.slope.high * 1.05 + 1e-6
    assert agrees(found)
    assert len({len(asked["order"]) for asked in person.asked}) > 2
    assert not any(asked["fresh"] or asked["cold"] for asked in person.asked)
    assert len({asked["spin"] for asked in person.asked[1:]}) == 1  # an offset that no slope sees


@pytest.mark.parametrize("claim", [0.2, 0.5, 0.8])
def test_it_does_not_agree_with_one_that_claims_less_than_it_takes(claim: float) -> None:
    person = Simulated(Clock(), 1e-4, claim=claim)
    found = wall_clock(person, sets=2, claimed_about=claim * 1e-4, rng=random.Random(6))
    assert not agrees(found)
    assert found.ratio == pytest.approx(1 / claim, rel=0.1)
