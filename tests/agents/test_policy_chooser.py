"""The chooser: every choice once, the policy's favourite first, results weighed by kernel."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policy_doubles import GPU, flat_policy, kernel, leaning_policy, wide_and_small

from kernelwright.agents.builtin.policy.candidates import key_of
from kernelwright.agents.builtin.policy.chooser import Chooser, KernelChooser, Observed
from kernelwright.agents.builtin.policy.net import Policy
from kernelwright.verifier.model.gpus import find_gpu


def chooser(policy: Policy | None = None, *names: str) -> Chooser:
    kernels = [kernel(name) for name in names or ("scale_pointwise",)]
    made = [
        KernelChooser(k.facts, [p.choice for p in k.priced], find_gpu(GPU), policy or flat_policy()) for k in kernels
    ]
    return Chooser(tuple(made))


def result(wanted: dict[str, dict[str, object]], *, by_kernel: bool = True) -> Observed:
    times = {name: wide_and_small(int(k["vector_width"]), int(k["threads"])) for name, k in wanted.items()}  # type: ignore[call-overload]
    return Observed(wanted, sum(times.values()), times if by_kernel else {})  # type: ignore[arg-type]


def key(wanted: object) -> frozenset[object]:
    return frozenset((name, key_of(knobs)) for name, knobs in wanted.items())  # type: ignore[attr-defined]


def test_without_results_the_favourite_comes_first_and_every_choice_once() -> None:
    made = chooser(leaning_policy("log threads", -1.0))
    first = made.first(0, "seed")["scale_pointwise"]
    assert first["threads"] == 64
    assert len({key(made.first(place, "seed")) for place in range(20)}) == 20
    orders = [[key(made.first(p, seed)) for p in range(1, 6)] for seed in ("seed", "seed", "other")]
    assert orders[0] == orders[1] != orders[2]


def test_draws_follow_the_policy() -> None:
    sure = leaning_policy("log threads", -3.0)
    made = chooser(sure).kernels[0]
    firsts = [made.choices[made.drawn(random.Random(seed))[0]].knobs["threads"] for seed in range(200)]
    assert firsts.count(64) > 2 * firsts.count(1024)
    assert firsts.count(64) < 200


@pytest.mark.parametrize("by_kernel", [True, False])
@pytest.mark.parametrize("names", [("one",), ("one", "two")])
def test_a_search_tries_nothing_twice_and_ends(names: tuple[str, ...], by_kernel: bool) -> None:
    made = chooser(None, *names)
    observed = [result(made.first(0, "x"), by_kernel=by_kernel or len(names) == 1)]  # type: ignore[arg-type]
    tried = {key(observed[0].knobs)}
    while len(observed) < 60 and (wanted := made.next(observed)) is not None:
        assert key(wanted) not in tried
        tried.add(key(wanted))
        observed.append(result(wanted, by_kernel=by_kernel or len(names) == 1))  # type: ignore[arg-type]
    best = min(o.seconds or math.inf for o in observed)
    assert best == pytest.approx(len(names) * 1e-5)
    if len(names) == 1:
        assert len(observed) == 20
        assert made.next(observed) is None


def test_kernels_are_tuned_side_by_side_where_each_ones_time_is_known() -> None:
    made = chooser(None, "one", "two")
    observed = [result(made.first(0, "x"))]  # type: ignore[arg-type]
    for _ in range(14):
        wanted = made.next(observed)
        assert wanted is not None
        observed.append(result(wanted))  # type: ignore[arg-type]
    assert min(o.seconds or math.inf for o in observed) == pytest.approx(2e-5)  # of 400 combinations


def test_a_good_prior_needs_fewer_tries_than_none() -> None:
    def needed(policy: Policy) -> int:
        made = chooser(policy)
        observed = [result(made.first(0, "x"))]  # type: ignore[arg-type]
        while min(o.seconds or math.inf for o in observed) > 1.0001e-5:
            wanted = made.next(observed)
            assert wanted is not None
            observed.append(result(wanted))  # type: ignore[arg-type]
        return len(observed)

    assert needed(leaning_policy("log threads", -0.3)) <= needed(flat_policy())


def test_failures_are_kept_away_from_and_do_not_end_a_search() -> None:
    made = chooser()
    observed: list[Observed] = []
    for _ in range(20):
        wanted = made.next(observed) if observed else made.first(0, "x")
        assert wanted is not None
        failed = wanted["scale_pointwise"]["threads"] in (64, 128)
        observed.append(Observed(wanted, None, {}) if failed else result(wanted))  # type: ignore[arg-type]
    assert made.next(observed) is None
    assert len({key(o.knobs) for o in observed}) == 20


@given(st.lists(st.one_of(st.none(), st.floats(1e-7, 1e-3)), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_the_times_the_next_choice_is_new_and_always_the_same(times: list[float | None]) -> None:
    made = chooser(None, "one", "two")
    observed = []
    for place, seconds in enumerate(times):
        wanted = made.first(place, "s")
        spent = {} if seconds is None else {"one": seconds / 2, "two": seconds / 2}
        observed.append(Observed(wanted, seconds, spent))
    wanted = made.next(observed)
    assert wanted is not None
    assert wanted == made.next(observed)
    assert key(wanted) not in {key(o.knobs) for o in observed}


def test_choices_that_are_no_candidates_are_passed_over() -> None:
    made = chooser()
    odd = Observed({"scale_pointwise": {"vector_width": 16, "threads": 3}}, 1e-9, {"scale_pointwise": 1e-9})
    assert made.next([odd]) is not None
