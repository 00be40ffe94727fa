"""The strategy evolve: what it asks for, and that a run that was stopped draws the same again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from archive_doubles import an_archive, attempt
from search_doubles import EPOCH, Outcome

from kernelwright.agents.protocols import Advice, PastAttempt, Proposal, Turn
from kernelwright.db.store import Store
from kernelwright.errors import StoreError
from kernelwright.events import Observer
from kernelwright.rl.operators import Operator
from kernelwright.rl.run import Attempt
from kernelwright.rl.search import SearchResult, search
from kernelwright.rl.strategies import strategy_named
from kernelwright.rl.strategies.evolve import Evolution, Evolve
from kernelwright.rl.strategy import Batch
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation, Verdict

RUN = "evolve-1"
WRONG = Verdict.WRONG


@dataclass
class Recorded:
    """Writes the version that the turn is numbered; keeps what it was asked."""

    silent: frozenset[int] = frozenset()
    name: str = "scripted"
    turns: dict[int, Turn] = field(default_factory=dict)

    def propose(self, history: tuple[PastAttempt, ...], advice: Advice | None, turn: Turn) -> Proposal | None:
        self.turns[turn.number] = turn
        if turn.number in self.silent:
            return None
        return Proposal(replace(attempt(turn.number, 1e-5).kernel, parameters={"number": turn.number}), "p")


@dataclass
class Outcomes:
    """Gives the outcome of the kernel's number, in a cell by its number."""

    outcomes: list[Outcome]
    asked: list[int] = field(default_factory=list)

    def __call__(self, kernel: Kernel, observer: Observer) -> Evaluation:
        number = int(str(kernel.parameters["number"]))
        self.asked.append(number)
        return attempt(number, self.outcomes[number - 1], registers=24 + 20 * (number % 3)).evaluation


class Going:
    """A run that is gone on with until it has come to its end; `stop_after` attempts are stored in each process."""

    def __init__(self, path: Path, outcomes: list[Outcome], *, candidates: int = 3, seed: str = "s") -> None:
        self.path, self.coder, self.evaluate = path / "k.db", Recorded(), Outcomes(outcomes)
        self.candidates, self.seed = candidates, seed

    def go(self, rounds: int, stop_after: int = 10**9) -> SearchResult:
        with Store(self.path, clock=lambda: EPOCH) as store:
            archive = an_archive(store, run_id=RUN, islands=2, migrate_every=3, stagnant_after=2, restart_after=4)
            stored, keep = 0, store.add_attempt

            def add_attempt(one: Attempt) -> None:
                nonlocal stored
                if stored == stop_after:
                    raise StoreError("the disk is full.")
                stored += 1
                keep(one)

            store.add_attempt = add_attempt  # type: ignore[method-assign]
            found = search(
                replace(store.run(RUN), rounds=rounds),
                strategy=strategy_named("evolve", self.candidates, Evolution(archive, RUN, self.seed, ("scripted",))),
                coder=self.coder,
                judge=None,
                evaluate=self.evaluate,
                store=store,
                checkpoints=store.checkpoints,
                clock=lambda: EPOCH,
            )
            assert archive.problems() == []
            return found


def described(turns: dict[int, Turn]) -> list[object]:
    return [
        (n, t.operator, t.parent and t.parent.number, tuple(o.number for o in t.others))
        for n, t in sorted(turns.items())
    ]


OUTCOMES: list[Outcome] = [3e-5, WRONG, 2e-5, 4e-5, WRONG, 1e-5, 9e-6, Verdict.CRASHED, 8e-6, 2e-5, 7e-6, WRONG]


def test_islands_take_turns_and_begin_from_the_reference(tmp_path: Path) -> None:
    one = Going(tmp_path, OUTCOMES)
    result = one.go(9)
    assert [a.number for a in result.attempts] == list(range(1, 10))
    assert result.best is not None
    assert result.best.number == 9
    turns = one.coder.turns
    assert {turns[n].operator for n in (1, 2, 3)} == {"start"}
    assert all(turns[n].parent is None for n in (1, 2, 3))
    with Store(one.path) as store:
        archive = an_archive(store, run_id=RUN)
        draws = {n: archive.drawn(RUN, n) for n in range(1, 10)}
    assert [d.island for d in draws.values() if d] == [0, 1, 0, 1, 0, 1, 0, 1, 0]
    # island 1 has failed once when number 4 is drawn: its choice is to begin again or to mend
    assert turns[4].operator in {"start", "repair"}
    assert turns[5].operator in {"tune", "template", "diff", "rewrite", "crossover"}
    for number, draw in draws.items():
        assert draw is not None
        assert turns[number].operator == draw.operator.value
        assert (turns[number].parent, turns[number].others) == (
            draw.parents[0] if draw.parents else None,
            draw.parents[1:],
        )


@pytest.mark.parametrize("stops", [(2,), (0, 1, 3), (4, 1)])
def test_a_run_that_was_stopped_ends_as_if_it_never_was(tmp_path: Path, stops: tuple[int, ...]) -> None:
    whole = Going(tmp_path / "whole", OUTCOMES)
    expected = whole.go(12)
    parts = Going(tmp_path / "parts", OUTCOMES)
    for stop in stops:
        with pytest.raises(StoreError):
            parts.go(12, stop)
    again = parts.go(12)
    assert [replace(a, seconds=0.0) for a in again.attempts] == [replace(a, seconds=0.0) for a in expected.attempts]
    assert described(parts.coder.turns) == described(whole.coder.turns)


def test_the_seed_decides(tmp_path: Path) -> None:
    made = []
    for name, seed in (("a", "one"), ("b", "one"), ("c", "two"), ("d", "three")):
        one = Going(tmp_path / name, OUTCOMES, seed=seed)
        one.go(12)
        made.append(described(one.coder.turns))
    assert made[0] == made[1]
    assert made[0] != made[2] or made[0] != made[3]


def test_a_number_without_a_proposal_is_left_out_and_the_run_goes_on(tmp_path: Path) -> None:
    one = Going(tmp_path, OUTCOMES)
    one.coder.silent = frozenset({2, 6})
    assert [a.number for a in one.go(6).attempts] == [1, 3, 4, 5, 7, 8]


def test_what_the_coder_had_nothing_for_is_not_asked_again(tmp_path: Path) -> None:
    one = Going(tmp_path, OUTCOMES, candidates=2)
    one.coder.silent = frozenset({4, 5})
    assert [a.number for a in one.go(5).attempts] == [1, 2, 3, 6, 7]
    assert sorted(one.coder.turns) == [1, 2, 3, 4, 5, 6, 7]


def test_a_batch_is_no_larger_than_what_is_left_and_plans_the_same_again(tmp_path: Path) -> None:
    with Store(tmp_path / "k.db", clock=lambda: EPOCH) as store:
        archive = an_archive(store, islands=2)
        strategy = Evolve(Evolution(archive, RUN, "s", ("scripted",)), 4)
        first = strategy.plan((), 99)
        assert isinstance(first, Batch)
        assert [step.number for step in first.steps] == [1, 2, 3, 4]
        assert not first.ranked
        done = [attempt(n, outcome) for n, outcome in enumerate([3e-5, 2e-5, WRONG, 1e-5], 1)]
        for one in done:
            store.add_attempt(one)
        second = strategy.plan(done, 2)
        assert isinstance(second, Batch)
        assert [step.number for step in second.steps] == [5, 6]
        assert [p.number for p in second.steps[0].history] == [1, 2, 3, 4]
        assert strategy.plan(done, 2) == second
        assert strategy.plan((), 99) == first


def by(author: str, one: Attempt) -> Attempt:
    return replace(one, kernel=replace(one.kernel, author=author))


def test_runs_that_share_an_archive_learn_what_each_author_is_worth(tmp_path: Path) -> None:
    """One run has the model that gains, the other the one that never passes; a third that has both asks the first one."""
    with Store(tmp_path / "k.db", clock=lambda: EPOCH) as store:
        number = 0
        for author, run_id in (("good", "one-1"), ("bad", "two-1")):
            archive = an_archive(store, run_id=run_id, name="shared", islands=1)
            strategy = Evolve(Evolution(archive, run_id, "s", (author,)), 1)
            done: list[Attempt] = []
            for own in range(1, 25):
                strategy.plan(done, 1)
                number += 1
                outcome: Outcome = 1e-3 * 0.8**number if author == "good" else WRONG
                done.append(by(author, replace(attempt(number, outcome), number=own, run_id=run_id)))
                store.add_attempt(done[-1])
            archive.absorb(done)
        archive = an_archive(store, run_id="both-1", name="shared", islands=1)
        batch = Evolve(Evolution(archive, "both-1", "s", ("good", "bad")), 40).plan((), 40)
        assert isinstance(batch, Batch)
        asked = [step.turn.author for step in batch.steps]
        assert asked.count("good") > 30


def test_each_author_gets_a_turn(tmp_path: Path) -> None:
    with Store(tmp_path / "k.db", clock=lambda: EPOCH) as store:
        archive = an_archive(store, islands=1)
        strategy = Evolve(Evolution(archive, RUN, "s", authors=("one", "two")), 1)
        asked = set()
        done: list[Attempt] = []
        for number in range(1, 12):
            batch = strategy.plan(done, 1)
            assert isinstance(batch, Batch)
            turn = batch.steps[0].turn
            asked.add((turn.operator, turn.author))
            done.append(by(turn.author, attempt(number, 3e-5 / number, registers=24 + number)))
            store.add_attempt(done[-1])
        assert asked >= {
            (operator.value, author) for operator in (Operator.TUNE, Operator.DIFF) for author in ("one", "two")
        }


def test_runs_that_share_an_archive_breed_from_one_anothers_kernels(tmp_path: Path) -> None:
    with Store(tmp_path / "k.db", clock=lambda: EPOCH) as store:
        archive = an_archive(store, islands=1)
        done = [attempt(1, 3e-5)]
        store.add_attempt(done[0])
        Evolve(Evolution(archive, RUN, "s", ("scripted",)), 1).plan(done, 1)
        other = an_archive(store, run_id="other-1")
        batch = Evolve(Evolution(other, "other-1", "s", ("scripted",)), 1).plan((), 1)
        assert isinstance(batch, Batch)
        turn = batch.steps[0].turn
        assert turn.parent is not None
        assert turn.parent.kernel == done[0].kernel
        assert batch.steps[0].history == ()


def test_it_needs_an_archive() -> None:
    with pytest.raises(ValueError, match="needs an archive"):
        strategy_named("evolve")
