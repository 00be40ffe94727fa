"""kill -9 at any moment of a search: going on ends as if it had never been stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from search_doubles import EPOCH, ScriptedCoder, ScriptedEvaluate, ScriptedJudge, do_nothing, run

from kernelwright.db.store import Store
from kernelwright.events import AttemptStarted, Event, RunStarted
from kernelwright.rl.run import Attempt, RunStatus
from kernelwright.rl.search import SearchResult, search
from kernelwright.rl.strategies.refine import Refine
from kernelwright.verifier.evaluation import Verdict

RUN = "softmax-7k3f9q"
OUTCOMES = (3e-5, Verdict.WRONG, 1e-5)


class HookedStore(Store):
    """Tells `at` when an attempt is about to be stored, and when it has just been."""

    at = staticmethod(do_nothing)

    def add_attempt(self, attempt: Attempt) -> None:
        self.at(f"store {attempt.number}")
        super().add_attempt(attempt)
        self.at(f"stored {attempt.number}")


def one_search(path: Path, at=do_nothing, observer=lambda event: None) -> tuple[SearchResult, list[int]]:  # type: ignore[no-untyped-def]
    """Searches in `path`; `at` is told every point reached. Gives the result and what was evaluated."""

    def observe(event: Event) -> None:
        observer(event)
        if isinstance(event, RunStarted):
            at("start")
        if isinstance(event, AttemptStarted):
            at(f"planned {event.number}")

    evaluate = ScriptedEvaluate(OUTCOMES, at)
    with HookedStore(path / "k.db", clock=lambda: EPOCH) as store:
        store.at = at  # type: ignore[method-assign]
        result = search(
            run(rounds=3),
            strategy=Refine(),
            coder=ScriptedCoder(9, at),
            judge=ScriptedJudge(at=at),
            evaluate=evaluate,
            store=store,
            checkpoints=store.checkpoints,
            observer=observe,
            clock=lambda: EPOCH,
        )
        assert list(result.attempts) == store.attempts(RUN)
        assert store.run(RUN) == result.run
    return result, evaluate.asked


_VICTIM = """
    import importlib.util, os, sys
    from pathlib import Path

    spec = importlib.util.spec_from_file_location("killed", sys.argv[1])
    killed = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(killed)

    def at(point):
        if point == sys.argv[3]:
            sys.stdout.write(f"at {point}\\n")
            sys.stdout.flush()
            sys.stdin.read()  # until killed

    killed.one_search(Path(sys.argv[2]), at)
"""


def kill_at(path: Path, point: str) -> None:
    """Runs the search in a process of its own and kills it when it has reached `point`."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(_VICTIM), __file__, str(path), point],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    ) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == f"at {point}\n"
        victim.send_signal(signal.SIGKILL)
    assert victim.returncode == -signal.SIGKILL


def bare(result: SearchResult) -> SearchResult:
    """Without what the machine's clock decides."""
    best = None if result.best is None else replace(result.best, seconds=0.0)
    return replace(result, attempts=tuple(replace(a, seconds=0.0) for a in result.attempts), best=best)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    result, asked = one_search(tmp_path_factory.mktemp("undisturbed"))
    assert asked == [1, 2, 3]
    return bare(result)


@pytest.mark.parametrize(
    ("point", "stored", "left_to_evaluate"),
    [
        ("start", 0, [1, 2, 3]),
        ("write 2", 1, [2, 3]),
        ("planned 2", 1, [2, 3]),
        ("evaluate 2", 1, [2, 3]),
        ("judge 2", 1, [3]),
        ("store 2", 1, [3]),
        ("stored 2", 2, [3]),
        ("stored 3", 3, []),
    ],
)
def test_ends_as_if_never_stopped(
    tmp_path: Path, undisturbed: SearchResult, point: str, stored: int, left_to_evaluate: list[int]
) -> None:
    kill_at(tmp_path, point)
    with Store(tmp_path / "k.db") as store:
        assert store.run(RUN).status is RunStatus.RUNNING
        assert len(store.attempts(RUN)) == stored
    events: list[Event] = []
    result, asked = one_search(tmp_path, observer=events.append)
    assert bare(result) == undisturbed
    assert asked == left_to_evaluate
    assert events[0] == RunStarted(RUN, "softmax", 3, stored)
    # every attempt that was not stored is announced (again)
    assert [e.number for e in events if isinstance(e, AttemptStarted)] == list(range(stored + 1, 4))


def test_killed_again_and_again(tmp_path: Path, undisturbed: SearchResult) -> None:
    for point in ("judge 1", "store 1", "evaluate 3"):
        kill_at(tmp_path, point)
    result, asked = one_search(tmp_path)
    assert bare(result) == undisturbed
    assert asked == [3]
