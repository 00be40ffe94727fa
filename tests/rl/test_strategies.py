"""What each strategy decides, and how the search carries batches out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from search_doubles import EPOCH, Outcome, ScriptedEvaluate, ScriptedJudge, TurnCoder, attempt, run

from kernelwright.agents.authors import BeginningOnly
from kernelwright.agents.protocols import Proposal
from kernelwright.db.store import Store
from kernelwright.errors import ConfigError, StoreError
from kernelwright.events import Event, StageFinished
from kernelwright.rl.run import Attempt, RunStatus
from kernelwright.rl.search import SearchResult, search
from kernelwright.rl.strategies import SHOWN_ALL, STRATEGIES, strategy_named
from kernelwright.rl.strategies.best_of_n import BestOfN
from kernelwright.rl.strategies.fsr import FeatureSearch
from kernelwright.rl.strategies.translate_evolve import TranslateEvolve
from kernelwright.rl.strategy import Batch, Strategy
from kernelwright.verifier.evaluation import TimingKind, Verdict

RUN = "softmax-7k3f9q"
WRONG = Verdict.WRONG
ALONE = sorted(set(STRATEGIES) - {"evolve"})
"""Those that need nothing but the attempts of their run; tests/rl/test_evolve.py is about the other."""


def made(*outcomes: Outcome, first: int = 1) -> list[Attempt]:
    return [attempt(RUN, first + i, outcome) for i, outcome in enumerate(outcomes)]


def planned(strategy: Strategy, done: Sequence[Attempt], left: int = 99) -> Batch:
    batch = strategy.plan(done, left)
    assert isinstance(batch, Batch)
    return batch


def parents(batch: Batch) -> dict[int, int | None]:
    return {step.number: step.turn.parent and step.turn.parent.number for step in batch.steps}


def test_every_name_is_a_strategy_and_other_names_are_refused() -> None:
    for name in ALONE:
        assert strategy_named(name).name == name
        assert strategy_named(name, 3).name == name
    with pytest.raises(ConfigError, match=r"no strategy 'hill'.*refine, fsr"):
        strategy_named("hill")


def test_the_published_numbers_of_candidates() -> None:
    assert TranslateEvolve().proposals == 8  # robust-kbench's
    assert strategy_named("fsr", 3) == FeatureSearch(3)


def test_samples_know_nothing_of_one_another() -> None:
    batch = planned(BestOfN(4), made(1e-5, WRONG, 2e-5))
    assert parents(batch) == dict.fromkeys((4, 5, 6, 7))
    assert all(step.history == () and step.advice is None for step in batch.steps)
    assert not batch.ranked
    assert len(planned(BestOfN(4), [], left=3).steps) == 3


def test_a_coder_that_learns_is_shown_all_attempts() -> None:
    done = made(1e-5, WRONG, 2e-5)
    for strategy in (strategy_named("best-of-n", 2, show_all=True), strategy_named("fsr", 2, show_all=True)):
        batch = planned(strategy, done)
        assert [[p.number for p in step.history] for step in batch.steps] == [[1, 2, 3], [1, 2, 3]]
    assert parents(planned(strategy_named("best-of-n", show_all=True), done)) == dict.fromkeys((4, 5, 6, 7))
    assert parents(planned(strategy_named("fsr", 2, show_all=True), done)) == {4: 1, 5: 1}


@pytest.mark.parametrize("name", SHOWN_ALL)
@pytest.mark.parametrize("outcomes", [(), (WRONG, WRONG), (1e-5, WRONG, 2e-5)], ids=["first", "none passed", "later"])
def test_a_model_beside_a_coder_that_learns_sees_what_it_sees_alone(name: str, outcomes: tuple[Outcome, ...]) -> None:
    done, alone, beside = made(*outcomes), TurnCoder(), TurnCoder()
    for coder, show_all in ((alone, False), (BeginningOnly(beside), True)):
        for step in planned(strategy_named(name, 2, show_all=show_all), done).steps:
            coder.propose(step.history, step.advice, step.turn)
    assert beside.seen == alone.seen
    assert BeginningOnly(beside).name == beside.name


def test_errors_go_back_to_each_candidate_until_one_is_correct() -> None:
    strategy = FeatureSearch(3)
    assert parents(planned(strategy, [])) == dict.fromkeys((1, 2, 3))
    second = planned(strategy, made(WRONG, Verdict.COMPILE_ERROR, Verdict.CRASHED))
    assert parents(second) == {4: 1, 5: 2, 6: 3}
    assert [[p.number for p in step.history] for step in second.steps] == [[1], [2], [3]]


def test_the_fastest_correct_kernel_of_all_rounds_seeds_every_candidate() -> None:
    done = made(WRONG, 2e-5, 3e-5, WRONG, WRONG, 4e-5)
    assert parents(planned(FeatureSearch(3), done)) == {7: 2, 8: 2, 9: 2}
    assert parents(planned(FeatureSearch(3), done, left=2)) == {7: 2, 8: 2}


def test_translation_is_repaired_until_it_passes() -> None:
    strategy = TranslateEvolve(4)
    assert parents(planned(strategy, [])) == {1: None}
    again = planned(strategy, made(WRONG, Verdict.COMPILE_ERROR))
    assert parents(again) == {3: 2}
    assert [p.number for p in again.steps[0].history] == [1, 2]
    assert not again.ranked


def test_a_generation_sees_the_best_five_from_slow_to_fast() -> None:
    done = made(WRONG, 5e-5, 1e-5, 4e-5, WRONG, 2e-5, 3e-5, 6e-5)
    batch = planned(TranslateEvolve(4), done, left=1)
    assert batch.ranked
    assert parents(batch) == {9: 3, 10: 3, 11: 3, 12: 3}  # all are asked for, whatever can be evaluated
    for step in batch.steps:
        assert [p.number for p in step.history] == [2, 4, 7, 6, 3]


def test_one_kernel_is_shown_once_and_a_measured_time_above_modelled_ones() -> None:
    first, second = made(1e-5, 2e-5)
    timing = second.evaluation.timing
    assert timing is not None
    measured = replace(
        second,
        evaluation=second.evaluation.model_copy(
            update={"timing": timing.model_copy(update={"kind": TimingKind.MEASURED})}, deep=True
        ),
    )
    batch = planned(TranslateEvolve(2), [first, measured, replace(first, number=3)])
    assert [p.kernel.id for p in batch.steps[0].history] == [first.kernel.id, second.kernel.id]


@dataclass
class LastFirst:
    """Ranks the later proposal higher."""

    asked: list[list[int]] = field(default_factory=list)

    def rank(self, proposals: Sequence[tuple[int, Proposal]]) -> Sequence[int]:
        self.asked.append([number for number, _ in proposals])
        return [number for number, _ in reversed(proposals)]


class Searching:
    """A search with a strategy on a store of its own."""

    def __init__(self, path: Path, outcomes: Sequence[Outcome], **options: Any) -> None:
        self.path = path
        self.evaluate = ScriptedEvaluate(outcomes)
        self.coder = TurnCoder()
        self.ranker = LastFirst()
        self.judge = ScriptedJudge()
        self.events: list[Event] = []
        self.options = options
        self.stop_after = 10**9

    def go(self, strategy: Strategy, rounds: int) -> SearchResult:
        with Store(self.path / "k.db", clock=lambda: EPOCH) as store:
            stored = 0
            keep = store.add_attempt

            def add_attempt(one: Attempt) -> None:
                nonlocal stored
                if stored == self.stop_after:
                    raise StoreError("the disk is full.")
                stored += 1
                keep(one)

            store.add_attempt = add_attempt  # type: ignore[method-assign]
            return search(
                run(rounds=rounds, strategy=strategy.name),
                strategy=strategy,
                coder=self.coder,
                judge=self.judge,
                evaluate=self.evaluate,
                store=store,
                checkpoints=store.checkpoints,
                ranker=self.ranker,
                observer=self.events.append,
                clock=lambda: EPOCH,
            )


def test_votes_decide_the_order_and_what_the_last_rounds_reach(tmp_path: Path) -> None:
    one = Searching(tmp_path, [2e-5] + [1e-5] * 9)
    result = one.go(TranslateEvolve(4), 3)
    assert one.evaluate.asked == [1, 5, 4]
    assert [a.number for a in result.attempts] == [1, 4, 5]
    assert one.ranker.asked == [[2, 3, 4, 5]]
    assert result.stopped_because == "All 3 rounds are used."
    votes = [e.summary for e in one.events if isinstance(e, StageFinished) and e.stage == "vote"]
    assert votes == ["order of evaluation: 5, 4, 3, 2"]


def test_no_judge_is_asked_where_it_has_no_say(tmp_path: Path) -> None:
    one = Searching(tmp_path, [1e-5, 2e-5, 3e-5])
    result = one.go(BestOfN(2), 3)
    assert one.judge.seen == []
    assert [a.advice for a in result.attempts] == [None, None, None]
    assert [a.number for a in result.attempts] == [1, 2, 3]


def test_a_candidate_without_an_idea_is_left_out_and_the_others_go_on(tmp_path: Path) -> None:
    one = Searching(tmp_path, [1e-5] * 9)
    one.coder = TurnCoder(silent=frozenset({2, 3}))
    assert [a.number for a in one.go(BestOfN(3), 4).attempts] == [1, 4, 5, 6]


def test_a_batch_without_any_idea_ends_the_run(tmp_path: Path) -> None:
    one = Searching(tmp_path, [1e-5] * 9)
    one.coder = TurnCoder(silent=frozenset({3, 4}))
    result = one.go(BestOfN(2), 6)
    assert [a.number for a in result.attempts] == [1, 2]
    assert result.stopped_because == "The coder has nothing new to try."
    assert result.run.status is RunStatus.FINISHED


def test_a_budget_ends_the_run_after_what_was_paid_is_evaluated(tmp_path: Path) -> None:
    one = Searching(tmp_path, [1e-5] * 9)
    one.coder = TurnCoder(over_budget=lambda number: number >= 3)
    result = one.go(BestOfN(4), 6)
    assert [a.number for a in result.attempts] == [1, 2]
    assert result.run.status is RunStatus.INTERRUPTED
    assert "could pass the budget" in result.stopped_because
    one.coder = TurnCoder()
    again = one.go(BestOfN(4), 6)
    assert [a.number for a in again.attempts] == [1, 2, 3, 4, 5, 6]
    assert again.run.status is RunStatus.FINISHED


outcome = st.sampled_from([1e-5, 2e-5, 3e-5, WRONG, Verdict.COMPILE_ERROR])


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(ALONE),
    st.lists(outcome, min_size=24, max_size=24),
    st.integers(1, 4),
    st.lists(st.integers(0, 4), max_size=3),
)
def test_a_run_that_was_stopped_anywhere_ends_as_if_it_never_was(
    tmp_path_factory: pytest.TempPathFactory, name: str, outcomes: list[Outcome], candidates: int, stops: list[int]
) -> None:
    rounds = 7
    whole = Searching(tmp_path_factory.mktemp("whole"), outcomes).go(strategy_named(name, candidates), rounds)
    parts = Searching(tmp_path_factory.mktemp("parts"), outcomes)
    for stop in stops:
        parts.stop_after = stop
        try:
            parts.go(strategy_named(name, candidates), rounds)
        except StoreError:
            continue
        break
    parts.stop_after = 10**9
    again = parts.go(strategy_named(name, candidates), rounds)
    assert [replace(a, seconds=0.0) for a in again.attempts] == [replace(a, seconds=0.0) for a in whole.attempts]
    assert again.stopped_because == whole.stopped_because
    assert len(parts.evaluate.asked) == len(set(parts.evaluate.asked))  # none judged twice
    assert len(whole.attempts) <= rounds
