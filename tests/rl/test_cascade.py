"""A search with a cascade: what each attempt is held against, and that the winner is the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from search_doubles import ScriptedEvaluate, TurnCoder, evaluation, run

from kernelwright.db.store import Store
from kernelwright.errors import StoreError
from kernelwright.events import Observer
from kernelwright.rl.run import Attempt
from kernelwright.rl.search import SearchResult, search
from kernelwright.rl.strategies.best_of_n import BestOfN
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation, Timing, Verdict

TIMES = (4e-5, Verdict.WRONG, 5e-5, 2e-5, 3e-5, 1e-5)


@dataclass
class Judging(ScriptedEvaluate):
    """Lets go whatever is slower than its rival; keeps what each version was held against, in seconds."""

    held: dict[int, float | None] = field(default_factory=dict)

    def __call__(self, candidate: Kernel, observer: Observer, *, rival: Timing | None = None) -> Evaluation:
        judged = super().__call__(candidate, observer)
        self.held[self.asked[-1]] = None if rival is None else rival.seconds
        if rival is not None and judged.timing is not None and judged.timing.seconds >= rival.seconds:
            return evaluation(candidate, Verdict.OUTCLASSED)
        return judged


class Full(Store):
    """Has no room for more than `room` attempts."""

    room = 99

    def add_attempt(self, attempt: Attempt) -> None:
        if len(self.attempts(attempt.run_id)) >= self.room:
            raise StoreError("the disk is full.")
        super().add_attempt(attempt)


def go(folder: Path, judge: Judging, *, cascade: bool = True, room: int = 99) -> SearchResult:
    with Full(f"sqlite:///{folder / 'kernelwright.db'}") as store:
        store.room = room
        return search(
            run(rounds=len(TIMES)), strategy=BestOfN(3), coder=TurnCoder(), judge=None, evaluate=judge, store=store,
            checkpoints=folder / "checkpoints.db", cascade=cascade,
        )  # fmt: skip


def test_each_attempt_is_held_against_the_best_before_it_and_the_winner_is_the_same(tmp_path: Path) -> None:
    judge = Judging(TIMES)
    found = go(tmp_path, judge)
    assert judge.held == {1: None, 2: 4e-5, 3: 4e-5, 4: 4e-5, 5: 2e-5, 6: 2e-5}
    verdicts = [a.evaluation.verdict.value for a in found.attempts]
    assert verdicts == ["passed", "wrong", "outclassed", "passed", "outclassed", "passed"]
    (tmp_path / "plain").mkdir()
    plain = Judging(TIMES)
    without = go(tmp_path / "plain", plain, cascade=False)
    assert set(plain.held.values()) == {None}
    assert found.best is not None
    assert without.best is not None
    assert found.best.kernel == without.best.kernel


@pytest.mark.parametrize("room", [1, 2, 4])
def test_a_run_that_is_gone_on_with_holds_attempts_against_the_same(tmp_path: Path, room: int) -> None:
    judge = Judging(TIMES)
    with pytest.raises(StoreError):
        go(tmp_path, judge, room=room)
    go(tmp_path, judge)
    assert judge.held == {1: None, 2: 4e-5, 3: 4e-5, 4: 4e-5, 5: 2e-5, 6: 2e-5}
