"""Calls of models in the store: kept as they were, one answer a place, summed to the last digit, in older databases too."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from alembic import command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_calls import USAGE, call, request
from search_doubles import EPOCH, TASK, attempt, evaluation, kernel, run
from sqlalchemy import insert

from kernelwright.agents.models.calls import CallStore
from kernelwright.agents.models.protocol import Message, Place, Usage
from kernelwright.db import rows
from kernelwright.db.engine import make_engine, writing
from kernelwright.db.migrate import alembic_config, revision_of
from kernelwright.db.models import AttemptRow, DeviceRow, EvaluationRow, KernelRow, RunRow, TaskRow
from kernelwright.db.store import Store
from kernelwright.errors import NotFoundError, StoreError
from kernelwright.verifier.evaluation import Verdict

RUN = "softmax-7k3f9q"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "k.db", clock=lambda: EPOCH) as opened:
        opened.create_run(run())
        yield opened


def test_a_call_comes_back_equal(store: Store) -> None:
    as_protocol: CallStore = store
    whole = replace(
        request(text="a\x00b \udc80 \n"),
        reasoning="high",
        temperature=0.7,
        schema={"type": "object", "properties": {"π": {"enum": [1, None]}}},
        schema_name="advice",
        messages=(
            Message("system", "s", cache=True),
            Message("user", "u"),
            Message("assistant", ""),
            Message("user", "!"),
        ),
    )
    given = [call(request=whole, estimated=True), call(turn=1, reply=None, error="openai answered 500: \x00 oh")]
    for one in given:
        as_protocol.add_call(one)
    first, second = as_protocol.calls(RUN)
    assert first == given[0]
    assert second == replace(given[1], error="openai answered 500: � oh")


def test_the_answer_of_a_place(store: Store) -> None:
    assert store.answered(RUN, Place(1, "coder")) is None
    store.add_call(call(reply=None, error="gone"))
    assert store.answered(RUN, Place(1, "coder")) is None
    store.add_call(call())
    assert store.answered(RUN, Place(1, "coder")) == call().reply
    for elsewhere in (Place(2, "coder"), Place(1, "judge"), Place(1, "coder", 1)):
        assert store.answered(RUN, elsewhere) is None
    assert store.answered("other", Place(1, "coder")) is None


def test_an_empty_reply_is_an_answer(store: Store) -> None:
    reply = replace(call().reply, text="", stop_reason="refusal")  # type: ignore[type-var]
    store.add_call(call(reply=reply))
    assert store.answered(RUN, Place(1, "coder")) == reply


def test_a_place_is_answered_once_even_behind_the_stores_back(store: Store, tmp_path: Path) -> None:
    store.add_call(call())
    with pytest.raises(StoreError, match="already has a reply at 1/coder/0"):
        store.add_call(call())
    store.add_call(call(reply=None, error="failed afterwards"))  # any number of failures
    store.add_call(call(reply=None, error="failed afterwards"))
    connection = sqlite3.connect(tmp_path / "k.db")
    columns = "run_id, attempt, role, turn, model, prompt, request, reply, error, input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, dollars, estimated, seconds, created"
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        connection.execute(
            f"INSERT INTO model_calls ({columns}) SELECT {columns} FROM model_calls WHERE reply IS NOT NULL"
        )
    connection.close()
    assert len(store.calls(RUN)) == 3


def test_a_call_needs_its_run(store: Store) -> None:
    with pytest.raises(NotFoundError, match="no run nobody"):
        store.add_call(call("nobody"))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 10**15), max_size=12))
def test_sums_are_exact(tmp_path_factory: pytest.TempPathFactory, picos: list[int]) -> None:
    """Billionths of a thousandth of a dollar as integers are the oracle; floats and SQL's SUM would round."""
    with Store(tmp_path_factory.mktemp("sum") / "k.db") as store:
        store.create_run(run())
        for number, pico in enumerate(picos, start=1):
            store.add_call(call(number=number, dollars=Decimal(pico).scaleb(-12)))
        assert store.spent(RUN) * 10**12 == sum(picos)
        assert store.costs(RUN).dollars * 10**12 == sum(picos)


def test_calls_from_many_threads(store: Store) -> None:
    def add(number: int) -> None:
        for turn in range(5):
            store.add_call(call(number=number, turn=turn, dollars=Decimal("0.01")))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.spent(RUN) == Decimal("0.40")


class TestCosts:
    def test_by_run_attempt_role_and_model(self, store: Store) -> None:
        other = replace(TASK, name="gelu", source="gelu")
        store.create_run(run("gelu-1", task=other, created=EPOCH + timedelta(minutes=1)))
        store.add_attempt(attempt(RUN, 1, 1e-5))
        store.add_call(call(dollars=Decimal("0.25")))
        store.add_call(call(turn=1, reply=None, error="cut", estimated=True, dollars=Decimal("0.10")))
        store.add_call(call(role="judge", model="anthropic:m", dollars=Decimal("1e-9"), usage=Usage(7)))
        store.add_call(call(number=2, dollars=Decimal("2")))  # its attempt was never stored
        store.add_call(call("gelu-1", dollars=Decimal("0.005")))
        lines = store.costs().lines
        assert [(line.run_id, line.attempt, line.role, line.model) for line in lines] == [
            ("gelu-1", 1, "coder", "openai:gpt-6-sol"),
            (RUN, 1, "coder", "openai:gpt-6-sol"),
            (RUN, 1, "judge", "anthropic:m"),
            (RUN, 2, "coder", "openai:gpt-6-sol"),
        ]
        assert (lines[1].calls, lines[1].answered) == (2, 1)
        assert (lines[1].dollars, lines[1].estimated_dollars) == (Decimal("0.35"), Decimal("0.10"))
        per_call = USAGE.input_tokens + USAGE.cache_read_tokens + USAGE.cache_write_tokens
        assert (lines[1].input_tokens, lines[1].cached_tokens, lines[1].output_tokens) == (2 * per_call, 600, 1000)
        assert store.costs().dollars == Decimal("2.355000001")
        tasks = {task.name: task for task in store.costs().tasks}
        assert (tasks["softmax"].solved, tasks["gelu"].solved) == (True, False)
        assert tasks["softmax"].dollars == Decimal("2.350000001")
        assert store.costs().dollars_per_solved_task == Decimal("2.355000001")  # the failure is paid for too
        assert [line.run_id for line in store.costs("gelu-1").lines] == ["gelu-1"]
        assert store.costs("gelu-1").dollars_per_solved_task is None

    def test_a_failed_attempt_solves_nothing(self, store: Store) -> None:
        store.add_attempt(attempt(RUN, 1, Verdict.WRONG))
        store.add_call(call())
        assert [task.solved for task in store.costs().tasks] == [False]

    def test_none(self, store: Store) -> None:
        assert (store.costs().lines, store.costs().tasks, store.costs().dollars) == ((), (), 0)
        assert store.spent("nobody") == 0
        assert store.calls("nobody") == []


def test_an_older_database_is_migrated_with_what_is_in_it(tmp_path: Path) -> None:
    engine = make_engine(tmp_path / "old.db")
    small = replace(TASK, attachments={})
    made = attempt(RUN, 1, 1e-5, task=small)
    with writing(engine).begin() as connection:
        command.upgrade(alembic_config(connection), "0001")
        assert revision_of(connection) == "0001"
        task, device = rows.task_columns(small, EPOCH), rows.device_columns(made.evaluation.device, EPOCH)
        connection.execute(insert(TaskRow).values(task))
        connection.execute(insert(RunRow).values(rows.run_columns(run(task=small), EPOCH)))
        connection.execute(insert(KernelRow).values(rows.kernel_columns(made.kernel, EPOCH)))
        connection.execute(insert(DeviceRow).values(device))
        connection.execute(insert(EvaluationRow).values(rows.evaluation_columns(made.evaluation, EPOCH)))
        connection.execute(insert(AttemptRow).values(rows.attempt_columns(made)))
    engine.dispose()
    for _ in range(2):
        with Store(tmp_path / "old.db") as store:
            assert store.attempts(RUN) == [made]
            assert store.evaluations_of(kernel(1).id) == [evaluation(kernel(1), 1e-5, task=small)]
            assert store.run(RUN).task == small
            if store.answered(RUN, Place(1, "coder")) is None:
                store.add_call(call())
            assert store.calls(RUN) == [call()]
