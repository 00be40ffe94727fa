"""One attempt as a graph: its nodes, and going on after each of them."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import ormsgpack
import pytest
from langgraph.checkpoint.sqlite import SqliteSaver
from search_doubles import (
    ScriptedCoder,
    ScriptedEvaluate,
    ScriptedJudge,
    Ticks,
    advice,
    evaluation,
    kernel,
)

from kernelwright.agents.attempt import AttemptResult, run_attempt
from kernelwright.agents.checkpoint import checkpoints_in
from kernelwright.agents.protocols import PastAttempt, Turn
from kernelwright.errors import StoreError, WorkerCrashed
from kernelwright.events import Event, StageFinished, StageStarted, ignore
from kernelwright.verifier.evaluation import Verdict

FIRST = PastAttempt(1, kernel(1), evaluation(kernel(1), 2e-5), advice("improve"))
BROKEN = PastAttempt(1, kernel(1), evaluation(kernel(1), Verdict.WRONG), advice("repair"))


def attempt(
    path: Path | None,
    *,
    history: tuple[PastAttempt, ...] = (),
    coder: ScriptedCoder | None = None,
    judge: ScriptedJudge | None = None,
    evaluate: ScriptedEvaluate | None = None,
    **more: Any,
) -> AttemptResult | None:
    with checkpoints_in(path) as saver:
        return run_attempt(
            Turn(len(history) + 1, history[-1] if history else None),
            history,
            history[-1].advice if history else None,
            coder or ScriptedCoder(9),
            judge or ScriptedJudge(),
            evaluate or ScriptedEvaluate([2e-5] * 9),
            saver,
            "run:1",
            more.pop("observer", ignore),
            **more,
        )


@pytest.mark.parametrize("on_disk", [True, False])
def test_result_holds_what_each_node_made(tmp_path: Path, on_disk: bool) -> None:
    coder, judge, evaluate = ScriptedCoder(9), ScriptedJudge(), ScriptedEvaluate([2e-5, 1e-5])
    path = tmp_path / "made" / "checkpoints.db" if on_disk else None
    result = attempt(path, history=(FIRST,), coder=coder, judge=judge, evaluate=evaluate, clock=Ticks())
    second = kernel(2, (kernel(1).id,))
    made = evaluation(second, 1e-5)
    assert result == AttemptResult(
        "improve", second, "version 2", made, advice("improve"), 3.0, ("a note",), {"tokens": 12}
    )
    assert coder.seen == [((FIRST,), advice("improve"))]
    assert judge.seen == [(PastAttempt(2, second, made, plan="version 2"), (FIRST,))]


@pytest.mark.parametrize(("history", "aim"), [((), "start"), ((FIRST,), "improve"), ((BROKEN,), "repair")])
def test_aim_follows_the_attempt_before(history: tuple[PastAttempt, ...], aim: str) -> None:
    result = attempt(None, history=history)
    assert result is not None
    assert result.aim == aim


def test_none_when_the_coder_has_nothing_new() -> None:
    evaluate, events = ScriptedEvaluate([]), list[Event]()
    assert attempt(None, coder=ScriptedCoder(0), evaluate=evaluate, observer=events.append, clock=Ticks()) is None
    assert evaluate.asked == []
    assert events == [StageStarted("write"), StageFinished("write", "skipped", "nothing new to try", 1.0)]


def test_events_in_order_and_the_plan_before_the_evaluation() -> None:
    told: list[object] = []
    attempt(None, observer=told.append, on_plan=told.append, clock=Ticks())
    assert told == [
        StageStarted("write"),
        "version 1",
        StageFinished("write", "passed", "lines of source: 1", 1.0),
        StageStarted("correctness"),
        StageFinished("correctness", "passed", "6 workloads", 0.25),
        StageStarted("judge"),
        StageFinished("judge", "passed", "improve: wider loads", 1.0),
    ]


def test_an_error_of_ours_propagates_and_the_attempt_can_be_gone_on_with(tmp_path: Path) -> None:
    def crash(point: str) -> None:
        raise WorkerCrashed(f"at {point}")

    path, events = tmp_path / "c.db", list[Event]()
    coder = ScriptedCoder(9)
    with pytest.raises(WorkerCrashed, match="at evaluate 1"):
        attempt(path, coder=coder, evaluate=ScriptedEvaluate([1e-5], crash))
    with pytest.raises(WorkerCrashed, match="at judge 1"):
        attempt(path, coder=coder, judge=ScriptedJudge(at=crash), observer=events.append)
    assert isinstance(events[-1], StageFinished)
    assert (events[-1].stage, events[-1].status, events[-1].summary) == ("judge", "failed", "at judge 1")
    evaluate = ScriptedEvaluate([9.0])
    result = attempt(path, coder=coder, evaluate=evaluate)
    assert len(coder.seen) == 1
    assert evaluate.asked == []
    assert result is not None
    assert result.evaluation == evaluation(kernel(1), 2e-5)


def test_seconds_add_up_over_the_processes_that_worked_on_it(tmp_path: Path) -> None:
    def stop(_point: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt(tmp_path / "c.db", judge=ScriptedJudge(at=stop), clock=Ticks())
    result = attempt(tmp_path / "c.db", clock=Ticks())
    assert result is not None
    assert result.seconds == 3.0  # write and evaluate in the first process, judge in the second


def test_plan_is_told_once_more_when_going_on_after_it(tmp_path: Path) -> None:
    def stop(_point: str) -> None:
        raise KeyboardInterrupt

    plans: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        attempt(tmp_path / "c.db", evaluate=ScriptedEvaluate([], stop), on_plan=plans.append)
    attempt(tmp_path / "c.db", on_plan=plans.append)
    assert plans == ["version 1", "version 1"]


def test_a_finished_attempt_is_read_back_not_repeated(tmp_path: Path) -> None:
    first = attempt(tmp_path / "c.db")
    coder, judge, evaluate = ScriptedCoder(0), ScriptedJudge(), ScriptedEvaluate([])
    assert attempt(tmp_path / "c.db", coder=coder, judge=judge, evaluate=evaluate) == first
    assert (coder.seen, judge.seen, evaluate.asked) == ([], [], [])


def test_hostile_findings_survive(tmp_path: Path) -> None:
    evidence = {"largest": float("inf"), "huge": 2**200, "text": "broken \udc80 text", "pair": (1, 2)}

    def evaluate(candidate: Any, _observer: Any) -> Any:
        stages = [{"name": "correctness", "status": "failed", "summary": "", "seconds": 0, "evidence": evidence}]
        return evaluation(candidate, Verdict.WRONG, stages=stages)

    result = attempt(tmp_path / "c.db", evaluate=evaluate)  # type: ignore[arg-type]
    assert result is not None
    assert result.evaluation.stages[0].evidence == evidence | {"pair": [1, 2]}


def test_checkpoints_hold_no_pickle_and_no_python_objects(tmp_path: Path) -> None:
    attempt(tmp_path / "c.db")
    with sqlite3.connect(tmp_path / "c.db") as connection:
        blobs = connection.execute("SELECT type, checkpoint FROM checkpoints").fetchall()
        blobs += connection.execute("SELECT type, value FROM writes").fetchall()
    connection.close()
    assert len(blobs) > 8
    for kind, blob in blobs:
        assert kind in {"msgpack", "null"}
        if kind == "msgpack":
            ormsgpack.unpackb(blob)  # without a hook, an extension type (a Python object) is an error


def test_a_damaged_checkpoint_file_is_named_with_the_mend(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    path.write_bytes(b"this is no database, whatever its name" * 100)
    with pytest.raises(StoreError, match="finished attempts are in the database") as caught:
        attempt(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("call", ["put", "put_writes"])
@pytest.mark.parametrize("failing", range(1, 8))
def test_stopped_at_any_write_of_the_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, failing: int
) -> None:
    """Between saving a node's outcome and the state with it, too: the file fails at the n-th write."""
    whole = attempt(None, clock=lambda: 0.0)
    save, calls = getattr(SqliteSaver, call), count(1)

    def fail(*args: Any, **more: Any) -> Any:
        if next(calls) == failing:
            raise sqlite3.OperationalError("disk I/O error")
        return save(*args, **more)

    evaluate = ScriptedEvaluate([2e-5])
    with monkeypatch.context() as patch:
        patch.setattr(SqliteSaver, call, fail)
        with suppress(sqlite3.OperationalError):
            attempt(tmp_path / "c.db", evaluate=evaluate, clock=lambda: 0.0)
    assert attempt(tmp_path / "c.db", evaluate=evaluate, clock=lambda: 0.0) == whole
    assert evaluate.asked in ([1], [1, 1])  # again only if its outcome could not be saved


def test_no_trace_leaves_the_machine_even_when_the_environment_asks(tmp_path: Path) -> None:
    """LangSmith's variables are set, pointing to a server that counts its visitors."""
    visitors: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    connection, address = server.accept()
                except OSError:
                    return
                visitors.append(address)
                connection.close()

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        script = """
            from search_doubles import ScriptedCoder, ScriptedEvaluate, ScriptedJudge
            from kernelwright.agents.attempt import run_attempt
            from kernelwright.agents.checkpoint import checkpoints_in
            from kernelwright.agents.protocols import Turn
            with checkpoints_in(None) as saver:
                coder, evaluate = ScriptedCoder(1), ScriptedEvaluate([1e-5])
                assert run_attempt(Turn(1), (), None, coder, ScriptedJudge(), evaluate, saver, "run:1")
            import langsmith.utils
            assert langsmith.utils.tracing_is_enabled()  # outside, the person's own setting holds
        """
        environment = os.environ | {
            "LANGSMITH_TRACING": "true",
            "LANGSMITH_ENDPOINT": endpoint,
            "LANGSMITH_API_KEY": "none",
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], env=environment, check=False)
        server.shutdown(socket.SHUT_RDWR)
        listener.join(timeout=10)
    assert done.returncode == 0
    assert visitors == []


@pytest.mark.parametrize("point", ["write 1", "evaluate 1", "judge 1"])
def test_ctrl_c_in_the_middle_of_a_node(tmp_path: Path, point: str) -> None:
    """A real SIGINT, delivered while the node works."""

    def interrupt(now: str) -> None:
        if now == point:
            os.kill(os.getpid(), signal.SIGINT)

    def all_at(at: Callable[[str], None]) -> dict[str, Any]:
        return {
            "coder": ScriptedCoder(1, at),
            "judge": ScriptedJudge(at=at),
            "evaluate": ScriptedEvaluate([1e-5], at),
        }

    with pytest.raises(KeyboardInterrupt):
        attempt(tmp_path / "c.db", **all_at(interrupt))
    again: list[str] = []
    assert attempt(tmp_path / "c.db", **all_at(again.append)) is not None
    order = ["write 1", "evaluate 1", "judge 1"]
    assert again == order[order.index(point) :]
