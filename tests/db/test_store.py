"""The store: what goes in comes out equal, stays as written, and can be found."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from bench_doubles import baseline
from hypothesis import given
from hypothesis import strategies as st
from model_calls import call
from search_doubles import DEVICE, EPOCH, TASK, advice, attempt, evaluation, kernel, run
from sqlalchemy import delete, select, update
from submission_doubles import item, submission

from kernelwright.db.archive import SHARED
from kernelwright.db.lookup import Found, Kind
from kernelwright.db.models import (
    AttemptRow,
    Base,
    DeviceRow,
    EvaluationRow,
    Immutable,
    KernelRow,
    ModelCallRow,
    TaskRow,
)
from kernelwright.db.store import Store
from kernelwright.db.summary import _FARTHEST_FIRST
from kernelwright.db.types import dump_json, load_json
from kernelwright.errors import NotFoundError, StoreError
from kernelwright.rl.operators import Operator
from kernelwright.rl.run import RunStatus, RunStore
from kernelwright.rl.strategy import best_attempt
from kernelwright.verifier.evaluation import Timing, TimingKind, Verdict

MAPPERS = Base.registry.mappers


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "new" / "kernelwright.db", clock=lambda: EPOCH) as opened:
        yield opened


def timing(seconds: float, kind: TimingKind = TimingKind.MODELLED) -> Timing:
    return Timing(kind=kind, gpu="H200", seconds=seconds, baseline_seconds=1.0, bound_seconds=0.1)


class TestRoundTrips:
    def test_run_with_its_task(self, store: Store) -> None:
        as_protocol: RunStore = store
        as_protocol.create_run(run())
        assert store.run("softmax-7k3f9q") == run()
        assert store.task(TASK.id) == TASK

    def test_a_task_with_gradients(self, store: Store) -> None:
        asked = replace(TASK, backward=True)
        assert asked.id != TASK.id
        store.create_run(replace(run(), task=asked))
        assert store.task(asked.id) == asked

    def test_run_keeps_the_name_it_gave_a_task_already_stored(self, store: Store) -> None:
        renamed = replace(TASK, name="my softmax", path=None)
        store.create_run(run())
        store.create_run(run("other-1", task=renamed))
        assert renamed.id == TASK.id
        assert store.run("other-1").task == renamed
        assert store.run("softmax").task == TASK

    @pytest.mark.parametrize("outcome", [1.25e-5, *(v for v in Verdict if v is not Verdict.PASSED)])
    def test_attempt(self, store: Store, outcome: float | Verdict) -> None:
        store.create_run(run())
        given = attempt("softmax-7k3f9q", 2, outcome)
        store.add_attempt(given)
        assert store.attempts("softmax-7k3f9q") == [given]
        assert store.kernel(given.kernel.id) == given.kernel

    def test_attempt_without_advice_and_notes(self, store: Store) -> None:
        store.create_run(run())
        given = attempt("softmax-7k3f9q", 1, 1e-5, advice=None, notes=())
        store.add_attempt(given)
        assert store.attempts("softmax-7k3f9q") == [given]

    def test_same_kernel_by_another_author_keeps_both_authors(self, store: Store) -> None:
        store.create_run(run())
        first = attempt("softmax-7k3f9q", 1, 1e-5)
        again = replace(first, number=2, kernel=replace(first.kernel, author="ada", parents=("f" * 16,), path="k.py"))
        store.add_attempt(first)
        store.add_attempt(again)
        assert store.attempts("softmax-7k3f9q") == [first, again]
        assert store.kernel(first.kernel.id) == first.kernel

    def test_evaluation_outside_a_run(self, store: Store) -> None:
        given = evaluation(kernel(1), 1e-5)
        evaluation_id = store.add_evaluation(TASK, kernel(1), given)
        assert store.evaluation(evaluation_id) == given
        assert store.evaluations_of(kernel(1).id) == [given]
        assert store.runs() == []

    def test_evidence_json_has_no_word_for(self, store: Store) -> None:
        evidence = {"inf": float("inf"), "minus": float("-inf"), "huge": 2**70, "bad text": "\udc80", "no": None}
        stages = [{"name": "correctness", "status": "failed", "summary": "", "seconds": 0, "evidence": evidence}]
        given = evaluation(kernel(1), Verdict.WRONG, stages=stages)
        assert store.evaluation(store.add_evaluation(TASK, kernel(1), given)).stages[0].evidence == evidence

    def test_times_are_utc_whatever_zone_was_given(self, store: Store) -> None:
        elsewhere = EPOCH.astimezone(timezone(timedelta(hours=-7)))
        store.create_run(run(created=elsewhere))
        found = store.run("softmax").created
        assert (found, found.utcoffset()) == (EPOCH, timedelta(0))

    def test_a_time_without_zone_is_refused(self, store: Store) -> None:
        with pytest.raises(StoreError, match="needs its time zone"):
            store.create_run(run(created=EPOCH.replace(tzinfo=None)))

    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    )

    @given(json_values)
    def test_json_text(self, value: Any) -> None:
        assert load_json(dump_json(value)) == value

    def test_json_nan(self) -> None:
        (back,) = load_json(dump_json([float("nan")]))
        assert back != back


class TestWriting:
    def test_run_ids_are_taken_once(self, store: Store) -> None:
        store.create_run(run())
        with pytest.raises(StoreError, match="already is a run softmax-7k3f9q"):
            store.create_run(run(rounds=9))

    def test_status_moves(self, store: Store) -> None:
        store.create_run(run())
        store.set_status("softmax-7k3f9q", RunStatus.FAILED, "no room")
        assert store.run("softmax") == run(status=RunStatus.FAILED, message="no room")
        with pytest.raises(NotFoundError, match="no run softmax"):
            store.set_status("softmax", RunStatus.FINISHED)  # writing asks for the whole id

    def test_equal_attempt_again_does_nothing(self, store: Store) -> None:
        store.create_run(run())
        nan = advice("improve").model_copy(update={"evidence": {"share": float("nan")}})
        for _ in range(2):
            store.add_attempt(attempt("softmax-7k3f9q", 1, 1e-5, advice=nan))
        assert len(store.attempts("softmax-7k3f9q")) == 1

    def test_another_attempt_of_the_same_number_is_refused(self, store: Store) -> None:
        store.create_run(run())
        store.add_attempt(attempt("softmax-7k3f9q", 1, 1e-5))
        with pytest.raises(StoreError, match="already has another attempt 1"):
            store.add_attempt(attempt("softmax-7k3f9q", 1, 2e-5))
        assert [a.evaluation.timing.seconds for a in store.attempts("softmax-7k3f9q") if a.evaluation.timing] == [1e-5]

    def test_parts_must_belong_together_and_nothing_of_it_is_stored(self, store: Store) -> None:
        store.create_run(run())
        other = replace(TASK, source="another")
        with pytest.raises(StoreError, match=f"evaluated on task {other.id}"):
            store.add_attempt(attempt("softmax-7k3f9q", 1, 1e-5, task=other))
        with pytest.raises(StoreError, match=f"about kernel {kernel(2).id}"):
            store.add_attempt(attempt("softmax-7k3f9q", 1, 1e-5, evaluation=evaluation(kernel(2), 1e-5)))
        with pytest.raises(StoreError, match="about task"):
            store.add_evaluation(other, kernel(1), evaluation(kernel(1), 1e-5))
        with pytest.raises(NotFoundError, match="no run nobody"):
            store.add_attempt(attempt("nobody", 1, 1e-5))
        assert store.attempts("softmax-7k3f9q") == []
        with pytest.raises(NotFoundError):
            store.kernel(kernel(1).id)

    def test_equal_content_is_stored_once(self, store: Store, tmp_path: Path) -> None:
        for name in ("a-1", "a-2"):
            store.create_run(run(name))
            for number in (1, 2):
                store.add_attempt(attempt(name, number, 1e-5))
        counts = dict(_counts(tmp_path / "new" / "kernelwright.db"))
        assert counts == {
            "tasks": 1,
            "task_attachments": 2,
            "kernels": 2,
            "kernel_parents": 1,
            "devices": 1,
            "evaluations": 2,
            "runs": 2,
            "run_events": 0,
            "access_sessions": 0,
            "access_tokens": 0,
            "run_owners": 0,
            "attempts": 4,
            "model_calls": 0,
            "bench_runs": 0,
            "bench_items": 0,
            "baselines": 0,
            "submissions": 0,
            "submission_items": 0,
            "archives": 0,
            "archive_islands": 0,
            "archive_entries": 0,
            "archive_elites": 0,
            "archive_draws": 0,
            "archive_draw_parents": 0,
            "task_traits": 1,
            "catalogue": 2,
        }


class TestImmutable:
    """Twice: the session says no, and so does the database to whoever comes another way."""

    @pytest.fixture
    def path(self, store: Store, tmp_path: Path) -> Path:
        store.create_run(run())
        store.add_attempt(attempt("softmax-7k3f9q", 1, 1e-5))
        store.add_attempt(attempt("softmax-7k3f9q", 2, 1e-5))
        store.add_call(call())
        store.add_baseline(TASK, baseline(TASK, "eager", 3e-5, DEVICE))
        store.add_submission(submission())
        store.add_submission_item(item("t0"))
        archive = store.archive(TASK, "H200", TimingKind.MODELLED, SHARED)
        archive.absorb(store.attempts("softmax-7k3f9q"))
        archive.draw("softmax-7k3f9q", 3, 0, Operator.TUNE, "", "seed")
        return tmp_path / "new" / "kernelwright.db"

    @pytest.mark.parametrize("row", [TaskRow, KernelRow, DeviceRow, EvaluationRow, AttemptRow, ModelCallRow])
    def test_session_refuses_changed_and_deleted_objects(self, store: Store, path: Path, row: Any) -> None:
        with pytest.raises(StoreError, match="immutable"), store._writing() as session:
            session.scalars(select(row)).first().created = EPOCH + timedelta(days=1)
        with pytest.raises(StoreError, match="immutable"), store._writing() as session:
            session.delete(session.scalars(select(row)).first())

    @pytest.mark.parametrize("row", [TaskRow, KernelRow, DeviceRow, EvaluationRow, AttemptRow, ModelCallRow])
    def test_session_refuses_statements(self, store: Store, path: Path, row: Any) -> None:
        for statement in (update(row).values(created=EPOCH), delete(row)):
            with pytest.raises(StoreError, match="immutable"), store._writing() as session:
                session.execute(statement)

    @pytest.mark.parametrize("table", sorted(m.local_table.name for m in MAPPERS if issubclass(m.class_, Immutable)))
    def test_database_refuses(self, path: Path, table: str) -> None:
        connection = sqlite3.connect(path)
        column = connection.execute(f"SELECT name FROM pragma_table_info('{table}')").fetchone()[0]
        for statement in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"):
            with pytest.raises(sqlite3.IntegrityError, match=f"{table} are immutable"):
                connection.execute(statement)
        connection.close()

    def test_database_refuses_what_our_own_connections_replace(self, store: Store, path: Path) -> None:
        with pytest.raises(StoreError, match="attempts are immutable"), store._writing() as session:
            session.connection().exec_driver_sql("INSERT OR REPLACE INTO attempts SELECT * FROM attempts")

    def test_database_refuses_untimed_passes_and_timed_failures(self, path: Path) -> None:
        connection = sqlite3.connect(path)
        columns = [row[0] for row in connection.execute("SELECT name FROM pragma_table_info('evaluations')")]
        for column, value in (("verdict", "'wrong'"), ("timing_kind", "NULL"), ("seconds", "0")):
            chosen = ", ".join({"id": "'new'", column: value}.get(name, name) for name in columns)
            with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
                connection.execute(f"INSERT INTO evaluations SELECT {chosen} FROM evaluations LIMIT 1")
        connection.close()

    def test_a_run_may_move(self, store: Store, path: Path) -> None:
        store.set_status("softmax-7k3f9q", RunStatus.FINISHED)


class TestLookup:
    def test_by_beginning(self, store: Store) -> None:
        store.create_run(run())
        store.create_run(run("softmin-1"))
        assert store.run("softma").id == "softmax-7k3f9q"
        assert store.run("SOFTMAX-7K").id == "softmax-7k3f9q"
        assert store.run("softmi").id == "softmin-1"

    def test_whole_id_wins_over_beginnings(self, store: Store) -> None:
        store.create_run(run("a-1"))
        store.create_run(run("a-12"))
        assert store.run("a-1").id == "a-1"

    def test_ambiguous_beginnings_are_named(self, store: Store) -> None:
        for number in range(7):
            store.create_run(run(f"softmax-{number}", created=EPOCH + timedelta(seconds=number)))
        with pytest.raises(NotFoundError, match=r"more than one run: softmax-6, softmax-5.*softmax-2, \.\.\."):
            store.run("soft")

    @pytest.mark.parametrize("asked", ["sofmax-7k3f9q", "softmax-7k3f9p", "softmx"])
    def test_near_matches_are_named(self, store: Store, asked: str) -> None:
        store.create_run(run())
        store.create_run(run("layer-norm-111111"))
        with pytest.raises(NotFoundError, match=r"Did you mean softmax-7k3f9q\?"):
            store.run(asked)

    @pytest.mark.parametrize("asked", ["", "%", "_", "zzz", "' OR 1=1 --"])
    def test_nothing_near(self, store: Store, asked: str) -> None:
        with pytest.raises(NotFoundError, match="holds none yet"):
            store.run(asked)
        store.create_run(run())
        with pytest.raises(NotFoundError, match="`kernelwright runs` lists"):
            store.run(asked)

    def test_find_says_what_an_id_names(self, store: Store) -> None:
        store.create_run(run())
        evaluation_id = store.add_evaluation(TASK, kernel(1), evaluation(kernel(1), 1e-5))
        for kind, whole in (
            (Kind.RUN, "softmax-7k3f9q"),
            (Kind.TASK, TASK.id),
            (Kind.KERNEL, kernel(1).id),
            (Kind.EVALUATION, evaluation_id),
        ):
            assert store.find(whole) == store.find(whole[:9]) == Found(kind, whole)
        with pytest.raises(NotFoundError, match="no kernel with the id"):
            store.find(evaluation_id, (Kind.KERNEL,))


class TestBest:
    def fill(self, store: Store, *outcomes: float | Verdict) -> None:
        store.create_run(run())
        for number, outcome in enumerate(outcomes, 1):
            store.add_attempt(attempt("softmax-7k3f9q", number, outcome))

    def check(self, store: Store) -> int | None:
        """The store, its summary and the search agree."""
        best = store.best("softmax-7k3f9q")
        assert best == best_attempt(store.attempts("softmax-7k3f9q"))
        assert store.runs()[0].best_number == (1 if best is None else best.number)
        return None if best is None else best.number

    def test_fastest_that_passed(self, store: Store) -> None:
        self.fill(store, 3e-5, Verdict.WRONG, 1e-5, 2e-5)
        assert self.check(store) == 3

    def test_first_of_equals(self, store: Store) -> None:
        self.fill(store, 3e-5, 1e-5, 1e-5)
        assert self.check(store) == 2

    def test_first_of_those_closer_than_half_a_percent(self, store: Store) -> None:
        self.fill(store, 3e-5, 1e-5, 9.96e-6, 1e-5)
        assert self.check(store) == 2

    def test_small_steps_add_up(self, store: Store) -> None:
        self.fill(store, 1e-5, 9.96e-6, 9.92e-6)
        assert self.check(store) == 3

    def test_none_passed(self, store: Store) -> None:
        self.fill(store, Verdict.WRONG, Verdict.CRASHED)
        assert self.check(store) is None

    def test_no_attempts(self, store: Store) -> None:
        assert store.best("softmax-7k3f9q") is None
        assert store.attempts("softmax-7k3f9q") == []

    def test_measured_and_modelled_are_not_compared(self, store: Store) -> None:
        self.fill(store, 1e-9)
        measured = evaluation(
            kernel(2),
            1.0,
            timing=timing(5e-5, TimingKind.MEASURED),
            device=DEVICE.model_copy(update={"kind": "cuda", "name": "NVIDIA H200"}),
        )
        store.add_attempt(attempt("softmax-7k3f9q", 2, 1.0, evaluation=measured))
        assert self.check(store) is None or self.check(store) == 2


class TestRuns:
    def test_empty(self, store: Store) -> None:
        assert store.runs() == []

    def test_summaries(self, store: Store) -> None:
        later = EPOCH + timedelta(minutes=1)
        store.create_run(run("old-1"))
        store.create_run(run("new-1", created=later, task=replace(TASK, name="other")))
        for number, outcome in enumerate([2e-5, Verdict.WRONG, 1e-5], 1):
            store.add_attempt(attempt("old-1", number, outcome))
        store.set_status("old-1", RunStatus.FINISHED, "All 3 rounds are used.")
        new, old = store.runs()
        assert (new.id, new.task_name, new.status, new.attempts, new.passed) == ("new-1", "other", "running", 0, 0)
        assert (new.best_number, new.best_verdict, new.timing_kind, new.seconds, new.speedup) == (None,) * 5
        assert (old.id, old.task_id, old.task_name, old.rounds) == ("old-1", TASK.id, "softmax", 4)
        assert (old.status, old.message) == (RunStatus.FINISHED, "All 3 rounds are used.")
        assert (old.attempts, old.passed, old.best_number) == (3, 2, 3)
        assert (old.best_verdict, old.timing_kind, old.gpu) == (Verdict.PASSED, TimingKind.MODELLED, "H200")
        assert (old.seconds, old.baseline_seconds, old.speedup) == (1e-5, 3e-5, 3e-5 / 1e-5)
        assert (old.created, new.created) == (EPOCH, later)

    def test_limit_takes_the_newest_and_task_filters_by_name_or_id(self, store: Store) -> None:
        other = replace(TASK, name="gelu", source="gelu")
        for number in range(4):
            task = other if number % 2 else TASK
            store.create_run(run(f"r-{number}", created=EPOCH + timedelta(seconds=number), task=task))
        assert [r.id for r in store.runs(limit=3)] == ["r-3", "r-2", "r-1"]
        assert [r.id for r in store.runs(task="gelu")] == ["r-3", "r-1"]
        assert [r.id for r in store.runs(task=TASK.id, limit=1)] == ["r-2"]
        assert store.runs(task="gel") == []

    def test_verdict_of_the_attempt_that_came_farthest(self, store: Store) -> None:
        store.create_run(run())
        for number, verdict in enumerate([Verdict.REJECTED, Verdict.WRONG, Verdict.COMPILE_ERROR], 1):
            store.add_attempt(attempt("softmax-7k3f9q", number, verdict))
        assert store.runs()[0].best_verdict is Verdict.WRONG

    def test_every_verdict_has_its_place(self) -> None:
        assert sorted(_FARTHEST_FIRST) == sorted(Verdict)

    def test_three_statements_however_many_runs_and_then_two(self, store: Store) -> None:
        from sqlalchemy import event

        for number in range(3):
            store.create_run(run(f"r-{number}"))
            store.add_attempt(attempt(f"r-{number}", 1, 1e-5))
        statements: list[str] = []
        event.listen(store._engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
        first = store.runs()
        assert [s for s in statements if not s.startswith("BEGIN")] == [s for s in statements if s.startswith("SELECT")]
        assert len([s for s in statements if s.startswith("SELECT")]) == 3
        assert store.runs() == first
        assert len([s for s in statements if s.startswith("SELECT")]) == 5
        store.set_status("r-1", RunStatus.FAILED, "no room")
        store.add_attempt(attempt("r-2", 2, 5e-6))
        found = {each.id: each for each in store.runs()}
        assert (found["r-1"].status, found["r-2"].attempts, found["r-2"].seconds) == (RunStatus.FAILED, 2, 5e-6)


def test_in_memory() -> None:
    with Store(":memory:") as store:
        store.create_run(run())
        assert store.run("soft") == run()
        assert store.checkpoints is None


def test_checkpoints_lie_beside_the_database(store: Store, tmp_path: Path) -> None:
    assert store.checkpoints == tmp_path / "new" / "kernelwright.checkpoints.db"


def test_reopened(tmp_path: Path) -> None:
    with Store(tmp_path / "k.db") as store:
        store.create_run(run())
        store.add_attempt(attempt("softmax-7k3f9q", 1, 1e-5))
    with Store(f"sqlite:///{tmp_path / 'k.db'}") as store:
        assert store.run("softmax-7k3f9q") == run()
        assert store.attempts("softmax-7k3f9q") == [attempt("softmax-7k3f9q", 1, 1e-5)]
        assert store.attempts("softmax-7k3f9q")[0].evaluation.device == DEVICE


def _counts(path: Path) -> list[tuple[str, int]]:
    connection = sqlite3.connect(path)
    names = [table.name for table in Base.metadata.sorted_tables]
    counts = [(name, connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]) for name in names]
    connection.close()
    return counts
