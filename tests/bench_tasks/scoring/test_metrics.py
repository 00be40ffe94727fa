"""Figures of an entry, against values computed by hand and against what must hold for every entry."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scoring_entries import attempt, entry, of, refused, trial

from kernelwright.bench_tasks.scoring.metrics import (
    best_of,
    best_of_k,
    correctness,
    costs,
    coverage,
    fast_p,
    fast_p_curve,
    geomean,
    geomean_of_solved,
    integrity_counts,
    median_speedup,
    pass_at,
    pass_at_k,
    roofline_of_all,
    roofline_of_solved,
)
from kernelwright.bench_tasks.scoring.outcomes import LARGEST_UNBOUNDED
from kernelwright.bench_tasks.scoring.results import AttemptResult, Entry, Integrity, Trial

_SPEEDUP = st.one_of(st.none(), st.floats(1e-9, 1e9))


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    tasks = [f"t{i}" for i in range(draw(st.integers(1, 6)))]
    trials = [
        replace(
            trial(task, *draw(st.lists(_SPEEDUP, max_size=4)), repeat=repeat, share=draw(st.floats(1e-3, 1e3))),
            integrity=draw(st.sampled_from(Integrity)),
        )
        for task in tasks
        for repeat in range(draw(st.integers(0, 3)))
    ]
    return entry(trials, tasks)


def figures(one: Entry) -> list[object]:
    return [
        *(figure for _, figure in fast_p_curve(one)),
        geomean(one, seed=1, kept=True), geomean(one, seed=1, kept=False), median_speedup(one, seed=1),
        geomean_of_solved(one, seed=1), pass_at_k(one, 1), best_of_k(one, 1, seed=1, over="repeats"),
        roofline_of_all(one), roofline_of_solved(one), coverage(one), integrity_counts(one),
    ]  # fmt: skip


def test_by_hand() -> None:
    """Four tasks: 4x, 0.5x, wrong, and one that was never tried."""
    one = entry(
        [trial("a", None, 4.0, 2.0, share=0.8), trial("b", 0.5, share=0.2), trial("c", None, None)],
        ["a", "b", "c", "d"],
        suite_size=10,
    )
    assert correctness(one).value == 0.5
    assert fast_p(one, 1.0).value == 0.25
    assert fast_p(one, 4.0).value == 0.0  # above p, as KernelBench has it, and not at it
    assert geomean(one, seed=0).value == pytest.approx(4.0**0.25)  # the slow kernel is not used
    assert geomean(one, seed=0, kept=False).value == pytest.approx((4.0 * 0.5) ** 0.25)
    solved = geomean_of_solved(one, seed=0)
    assert solved is not None
    assert solved.value == pytest.approx(2.0**0.5)
    assert median_speedup(one, seed=0).value == 1.0
    first = pass_at_k(one, 1)
    assert first is not None
    assert first.value == pytest.approx((2 / 3 + 1 + 0 + 0) / 4)
    assert pass_at_k(one, 2) is None  # b had one draw
    assert (roofline_of_solved(one), roofline_of_all(one)) == (0.5, 0.1)
    spent = costs(one)
    assert (spent.dollars, spent.dollars_per_task, spent.dollars_per_solved) == (
        Decimal("0.30"),
        Decimal("0.075"),
        Decimal("0.15"),
    )
    assert (spent.seconds_per_task, spent.seconds_per_solved) == (45.0, 90.0)
    told = coverage(one)
    assert (told.tried, told.asked, told.suite, told.solved, told.repeats) == (3, 4, 10, 2, 1)


def test_repeats_by_hand() -> None:
    """One task solved in one repeat of two, another once only: the repeat that is missing counts as not solved."""
    one = entry([trial("a", 4.0), trial("a", None, repeat=1), trial("b", 2.0, repeat=0)])
    assert correctness(one).value == 0.5
    assert geomean(one, seed=0).value == pytest.approx(8.0**0.25)
    over = pass_at_k(one, 2, over="repeats")
    assert over is not None
    assert over.value == 1.0
    best = best_of_k(one, 2, seed=0, over="repeats")
    assert best is not None
    assert best.value == pytest.approx(8.0**0.5)


def test_nothing_solved() -> None:
    one = of([None, None, None])
    assert geomean(one, seed=0).value == median_speedup(one, seed=0).value == 1.0
    assert geomean_of_solved(one, seed=0) is None
    assert costs(one).dollars_per_solved is None
    assert correctness(one).high == pytest.approx(0.56, abs=0.01)  # three tasks say little


@pytest.mark.parametrize(
    ("n", "c", "k"), [(n, c, k) for n in range(1, 6) for c in range(n + 1) for k in range(1, n + 1)]
)
def test_pass_at_k_is_the_share_of_draws_with_one_that_passes(n: int, c: int, k: int) -> None:
    draws = list(itertools.combinations([True] * c + [False] * (n - c), k))
    assert pass_at(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws))


@given(st.lists(st.floats(0.0, 5.0), min_size=1, max_size=6), st.data())
def test_best_of_k_is_the_mean_over_draws(values: list[float], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(values)))
    draws = [max(draw) for draw in itertools.combinations(values, k)]
    assert best_of(values, k) == pytest.approx(sum(draws) / len(draws))


@pytest.mark.parametrize(("n", "c", "k"), [(0, 0, 1), (3, 4, 1), (3, 1, 4), (3, 1, 0)])
def test_pass_at_k_of_nonsense(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="pass@"):
        pass_at(n, c, k)


def test_one_tiny_time_moves_the_headline_no_further_than_the_bound() -> None:
    usual = of([2.0] * 29 + [3.0])
    tiny = entry([*usual.trials[:-1], trial("t29", 3e9, share=1e9)])  # at the bound it would be 3x
    assert geomean(tiny, seed=0) == geomean(usual, seed=0)
    assert median_speedup(tiny, seed=0) == median_speedup(usual, seed=0)
    unknown = entry([*usual.trials[:-1], trial("t29", 3e9, share=None)])
    assert geomean(unknown, seed=0).value == pytest.approx((2.0**29 * LARGEST_UNBOUNDED) ** (1 / 30))


@given(entries())
def test_fast_p_falls_and_stays_a_share(one: Entry) -> None:
    curve = [figure for _, figure in fast_p_curve(one)]
    assert all(a.value >= b.value for a, b in itertools.pairwise(curve))
    for each in curve:
        assert each.low is not None
        assert each.high is not None
        assert 0.0 <= each.low <= each.value <= each.high <= 1.0


@given(entries(), st.randoms(use_true_random=False))
def test_the_order_of_trials_says_nothing(one: Entry, chance: random.Random) -> None:
    assert figures(replace(one, trials=tuple(chance.sample(one.trials, len(one.trials))))) == figures(one)


@given(entries())
def test_refused_is_unsolved(one: Entry) -> None:
    """A refused trial counts as one whose kernels did not pass, in every figure but the count of refused ones."""
    first = replace(one, trials=tuple(refused(t) if t.task == "t0" else t for t in one.trials))
    wrong = replace(one, trials=tuple(_all_wrong(t) if t.task == "t0" else t for t in one.trials))
    assert figures(first)[:-1] == figures(wrong)[:-1]


@given(entries(), st.integers(1, 4))
def test_an_unsolved_task_never_vanishes(one: Entry, more: int) -> None:
    """Tasks that are not solved pull every share and mean towards nothing won."""
    names = tuple(f"new{i}" for i in range(more))
    longer = replace(one, tasks=one.tasks + names, suite_size=one.suite_size + more)
    n, m = len(one.tasks), len(longer.tasks)
    assert correctness(longer).value == pytest.approx(correctness(one).value * n / m)
    assert geomean(longer, seed=0).value == pytest.approx(geomean(one, seed=0).value ** (n / m))
    assert coverage(longer).asked == coverage(one).asked + more
    assert geomean(longer, seed=0).value >= 1.0


@given(entries())
def test_with_the_original_to_fall_back_on_nothing_is_lost(one: Entry) -> None:
    assert geomean(one, seed=0).value >= max(1.0, geomean(one, seed=0, kept=False).value) - 1e-9
    assert median_speedup(one, seed=0).value >= 1.0


@given(st.floats(0.1, 10.0), st.floats(0.1, 10.0), st.floats(0.1, 10.0), st.integers(-20, 20))
def test_seconds_or_milliseconds(baseline: float, candidate: float, bound: float, power: int) -> None:
    """Only ratios count: all times in another unit change no figure."""
    unit = 2.0**power  # exact

    def made(scale: float) -> Entry:
        b, c, r = baseline * scale, candidate * scale, bound * scale
        return entry([Trial("a", "id", 0, (AttemptResult(True, "passed", b / c, r / c),))], ["a", "b"])

    assert figures(made(unit)) == figures(made(1.0))


@pytest.mark.parametrize("speedup", [0.0, -1.0, math.inf, math.nan])
def test_no_speedup_is_no_number(speedup: float) -> None:
    with pytest.raises(ValueError, match="speedup"):
        attempt(speedup)


def test_an_entry_is_not_built_wrong() -> None:
    with pytest.raises(ValueError, match="one trial"):
        entry([trial("a", 1.0), trial("a", 2.0)])
    with pytest.raises(ValueError, match="does not have"):
        entry([trial("a", 1.0)], ["b"])
    with pytest.raises(ValueError, match="once"):
        entry([], [])
    with pytest.raises(ValueError, match="measured or modelled"):
        of([1.0], timing_kind="guessed")


def _all_wrong(one: Trial) -> Trial:
    return replace(one, attempts=tuple(attempt(None) for _ in one.attempts), integrity=Integrity.CLEAN)
