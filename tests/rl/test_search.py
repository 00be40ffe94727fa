"""The strategy `refine`: its rounds, its events, and its end whatever the end is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from search_doubles import (
    EPOCH,
    Outcome,
    ScriptedCoder,
    ScriptedEvaluate,
    ScriptedJudge,
    advice,
    evaluation,
    kernel,
    run,
)

from kernelwright.agents.protocols import PastAttempt
from kernelwright.db.store import Store
from kernelwright.errors import LoweringError, StoreError
from kernelwright.events import AttemptFinished, AttemptStarted, Event, RunFinished, RunStarted
from kernelwright.rl.run import Attempt, Run, RunStatus
from kernelwright.rl.search import SearchResult, search
from kernelwright.rl.strategies.refine import Refine
from kernelwright.verifier.evaluation import Verdict

RUN = "softmax-7k3f9q"
OUTCOMES: tuple[Outcome, ...] = (3e-5, Verdict.WRONG, 1e-5, 2e-5, 1e-5)


class Fixed:
    """One search, ready to be made or gone on with."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = Store(path / "k.db", clock=lambda: EPOCH)
        self.coder = ScriptedCoder(9)
        self.judge = ScriptedJudge()
        self.evaluate = ScriptedEvaluate(OUTCOMES)
        self.events: list[Event] = []

    def search(self, rounds: int = 4, **changes: Any) -> SearchResult:
        options: dict[str, Any] = {
            "strategy": Refine(),
            "coder": self.coder,
            "judge": self.judge,
            "evaluate": self.evaluate,
            "store": self.store,
            "checkpoints": self.store.checkpoints,
            "observer": self.events.append,
            "clock": lambda: EPOCH,
        }
        return search(run(rounds=rounds), **(options | changes))


@pytest.fixture
def fixed(tmp_path: Path) -> Iterator[Fixed]:
    made = Fixed(tmp_path)
    yield made
    made.store.close()


def bare(attempts: tuple[Attempt, ...] | list[Attempt]) -> list[Attempt]:
    """Without what the machine's clock decides."""
    return [replace(a, seconds=0.0) for a in attempts]


def expected(count: int) -> list[Attempt]:
    """The attempts as the doubles script them."""
    made: list[Attempt] = []
    for number, outcome in enumerate(OUTCOMES[:count], 1):
        timed = [(a.evaluation.timing.seconds, a.kernel.id) for a in made if a.evaluation.timing is not None]
        candidate = kernel(number, (min(timed)[1],) if timed else ())
        judged = evaluation(candidate, outcome)
        said = advice("improve" if judged.passed else "repair")
        made.append(Attempt(RUN, number, f"version {number}", candidate, judged, said, EPOCH, 0.0, ("a note",)))
    return made


def test_uses_its_rounds_and_stores_each_attempt(fixed: Fixed) -> None:
    result = fixed.search()
    assert bare(result.attempts) == expected(4)
    assert fixed.store.attempts(RUN) == list(result.attempts)
    assert result.best == fixed.store.best(RUN) == result.attempts[2]
    assert result.stopped_because == "All 4 rounds are used."
    assert result.run == fixed.store.run(RUN) == run(status=RunStatus.FINISHED, message="All 4 rounds are used.")


def test_coder_and_judge_see_what_was_before(fixed: Fixed) -> None:
    fixed.search(rounds=3)
    past = tuple(PastAttempt(a.number, a.kernel, a.evaluation, a.advice, a.plan) for a in expected(3))
    assert fixed.coder.seen == [
        ((), None),
        (past[:1], advice("improve")),
        (past[:2], advice("repair")),
    ]
    assert fixed.judge.seen == [(replace(past[n], advice=None), past[:n]) for n in range(3)]


def test_events(fixed: Fixed) -> None:
    fixed.search()
    told = [
        event
        for event in fixed.events
        if isinstance(event, RunStarted | AttemptStarted | AttemptFinished | RunFinished)
    ]
    finished = [event for event in told if isinstance(event, AttemptFinished)]
    assert told[0] == RunStarted(RUN, "softmax", 4, 0)
    assert told[1:-1:2] == [AttemptStarted(RUN, n, f"version {n}") for n in (1, 2, 3, 4)]
    assert told[2:-1:2] == finished
    assert told[-1] == RunFinished(RUN, "finished", 4, 3)
    assert [(e.number, e.verdict, e.best) for e in finished] == [
        (1, "passed", True),
        (2, "wrong", False),
        (3, "passed", True),
        (4, "passed", False),
    ]
    assert finished[0] == AttemptFinished(RUN, 1, "passed", "", 3e-5, "modelled", 1.0, "improve: wider loads", True)
    assert finished[1] == AttemptFinished(
        RUN, 2, "wrong", "it is wrong", None, None, None, "repair: wider loads", False
    )


def test_an_equal_time_is_no_new_best(fixed: Fixed) -> None:
    fixed.search(rounds=5)
    assert [e.best for e in fixed.events if isinstance(e, AttemptFinished)] == [True, False, True, False, False]


def test_only_what_is_half_a_percent_faster_is_a_new_best(fixed: Fixed) -> None:
    """The last is 0.6 % faster than the first, though only 0.2 % faster than the one before it."""
    fixed.evaluate.outcomes = (1e-5, 9.96e-6, 9.94e-6)
    result = fixed.search(rounds=3)
    assert [e.best for e in fixed.events if isinstance(e, AttemptFinished)] == [True, False, True]
    assert result.best == fixed.store.best(RUN) == result.attempts[2]


def test_an_attempt_is_stored_before_it_is_announced(fixed: Fixed) -> None:
    stored: list[int] = []

    def observe(event: Event) -> None:
        if isinstance(event, AttemptFinished):
            stored.append(len(fixed.store.attempts(RUN)))

    fixed.search(observer=observe)
    assert stored == [1, 2, 3, 4]


def test_stops_when_the_judge_says_so(fixed: Fixed) -> None:
    fixed.judge.stop_at = 2
    result = fixed.search()
    assert len(result.attempts) == 2
    assert result.stopped_because == "The judge sees nothing left worth trying: stop: wider loads"
    assert fixed.store.run(RUN).status is RunStatus.FINISHED
    assert fixed.search().attempts == result.attempts  # also when asked to go on


def test_stops_when_the_coder_has_nothing_new(fixed: Fixed) -> None:
    fixed.coder.versions = 1
    result = fixed.search()
    assert len(result.attempts) == 1
    assert result.stopped_because == "The coder has nothing new to try."
    assert fixed.events[-1] == RunFinished(RUN, "finished", 1, 1)


def test_goes_on_with_more_rounds(fixed: Fixed) -> None:
    fixed.search(rounds=2)
    fixed.events.clear()
    result = fixed.search(rounds=4)
    assert fixed.events[0] == RunStarted(RUN, "softmax", 4, 2)
    assert bare(result.attempts) == expected(4)
    assert fixed.evaluate.asked == [1, 2, 3, 4]


def test_nothing_new_is_asked_again_on_the_next_search(fixed: Fixed) -> None:
    fixed.coder.versions = 0
    fixed.search()
    fixed.coder.versions = 9
    assert len(fixed.search().attempts) == 4


def test_no_rounds(fixed: Fixed) -> None:
    result = fixed.search(rounds=0)
    assert (result.attempts, result.best) == ((), None)


def test_without_a_checkpoint_file(fixed: Fixed) -> None:
    assert bare(fixed.search(checkpoints=None).attempts) == expected(4)
    assert not (fixed.path / "k.checkpoints.db").exists()


def test_run_that_the_store_has_is_not_created_again(fixed: Fixed) -> None:
    fixed.store.create_run(run())
    assert len(fixed.search().attempts) == 4


def test_a_run_whose_id_merely_begins_alike_is_another_run(fixed: Fixed) -> None:
    fixed.store.create_run(run(RUN + "x", created=EPOCH - timedelta(days=1)))
    fixed.search()
    assert fixed.store.attempts(RUN + "x") == []


def test_checkpoints_of_finished_attempts_are_cleared(fixed: Fixed) -> None:
    from kernelwright.agents.checkpoint import checkpoints_in

    fixed.coder.versions = 3
    fixed.search()
    with checkpoints_in(fixed.store.checkpoints) as saver:
        assert list(saver.list(None)) == []


class TestErrors:
    def test_error_of_ours(self, fixed: Fixed) -> None:
        fixed.coder.errors[2] = LoweringError("no operation can be lowered.", mend="Try another module.")
        with pytest.raises(LoweringError):
            fixed.search()
        stored = fixed.store.run(RUN)
        assert (stored.status, stored.message) == (RunStatus.FAILED, "no operation can be lowered. Try another module.")
        assert bare(fixed.store.attempts(RUN)) == expected(1)
        assert not any(isinstance(event, RunFinished) for event in fixed.events)
        fixed.coder.errors.clear()
        assert bare(fixed.search().attempts) == expected(4)

    def test_bug(self, fixed: Fixed) -> None:
        with pytest.raises(ZeroDivisionError):
            fixed.search(evaluate=lambda _kernel, _observer: 1 / 0)
        stored = fixed.store.run(RUN)
        assert stored.status is RunStatus.FAILED
        assert stored.message == "A bug of ours: ZeroDivisionError: division by zero"

    def test_store_that_fails_loses_no_evaluation(self, fixed: Fixed) -> None:
        """The disk is full when attempt 2 is to be stored, and for the status too; later there is room."""

        class Full(Store):
            full = False

            def add_attempt(self, attempt: Attempt) -> None:
                self.full = attempt.number == 2
                if self.full:
                    raise StoreError("The database has no room left on its disk.")
                super().add_attempt(attempt)

            def set_status(self, run_id: str, status: RunStatus, message: str = "") -> None:
                if self.full:
                    raise StoreError("Still no room.")
                super().set_status(run_id, status, message)

        no_room = pytest.raises(StoreError, match="no room left on its disk")
        with Full(fixed.path / "k.db", clock=lambda: EPOCH) as full, no_room:
            fixed.search(store=full)
        assert fixed.store.run(RUN).status is RunStatus.RUNNING
        assert bare(fixed.search().attempts) == expected(4)
        assert fixed.evaluate.asked == [1, 2, 3, 4]

    def test_damaged_checkpoints(self, fixed: Fixed) -> None:
        assert fixed.store.checkpoints is not None
        fixed.store.checkpoints.write_bytes(b"no database" * 1000)
        with pytest.raises(StoreError, match="finished attempts are in the database"):
            fixed.search()
        fixed.store.checkpoints.unlink()
        assert bare(fixed.search().attempts) == expected(4)


class TestInterrupted:
    @pytest.mark.parametrize("point", ["write 1", "write 3", "evaluate 3", "judge 3", "judge 4"])
    def test_keeps_finished_attempts_and_goes_on(self, fixed: Fixed, point: str) -> None:
        reached: list[str] = []

        def at(now: str) -> None:
            reached.append(now)
            if now == point and reached.count(now) == 1:
                raise KeyboardInterrupt

        fixed.coder.at = fixed.judge.at = fixed.evaluate.at = at
        done = int(point[-1]) - 1
        with pytest.raises(KeyboardInterrupt):
            fixed.search()
        stored = fixed.store.run(RUN)
        assert (stored.status, stored.message) == (RunStatus.INTERRUPTED, f"Stopped after {done} of 4 rounds.")
        assert bare(fixed.store.attempts(RUN)) == expected(done)
        assert fixed.events[-1] == RunFinished(
            RUN, "interrupted", done, sum(a.evaluation.passed for a in expected(done))
        )

        result = fixed.search()
        assert bare(result.attempts) == expected(4)
        assert fixed.store.run(RUN).status is RunStatus.FINISHED
        assert sorted(reached) == sorted(
            [f"{node} {n}" for node in ("write", "evaluate", "judge") for n in (1, 2, 3, 4)] + [point]
        )

    def test_before_the_first_attempt_and_before_there_is_a_run(self, fixed: Fixed) -> None:
        class Slow(Store):
            def create_run(self, run: Run) -> None:
                raise KeyboardInterrupt

            def attempts(self, run_id: str) -> list[Attempt]:
                raise KeyboardInterrupt

        with Slow(fixed.path / "k.db", clock=lambda: EPOCH) as slow:
            with pytest.raises(KeyboardInterrupt):
                fixed.search(store=slow)
            assert fixed.store.runs() == []
            fixed.store.create_run(run())
            with pytest.raises(KeyboardInterrupt):
                fixed.search(store=slow)
        assert fixed.store.run(RUN).status is RunStatus.INTERRUPTED
        assert bare(fixed.search().attempts) == expected(4)
