"""Figures of a store, and the locks that are held beside it."""

from __future__ import annotations

from pathlib import Path

from search_doubles import attempt, run
from sqlalchemy import text

from kernelwright.db.migrate import VERSION_TABLE
from kernelwright.db.store import Store
from kernelwright.rl.run import RunStatus


def test_counts_are_those_of_the_store(tmp_path: Path) -> None:
    with Store(tmp_path / "k.db") as store:
        assert set(store.counts().runs.values()) == {0}
        for number in range(3):
            store.create_run(run(f"softmax-{number}"))
        store.add_attempt(attempt("softmax-0", 1, 1e-5))
        store.add_attempt(attempt("softmax-0", 2, 2e-5))
        store.set_status("softmax-0", RunStatus.FINISHED)
        counts = store.counts()
        assert sum(counts.runs.values()) == 3
        assert counts.runs[RunStatus.FINISHED] == 1
        assert set(counts.runs) == set(RunStatus)
        assert counts.evaluations == 2


def test_another_versions_tables_are_not_current(tmp_path: Path) -> None:
    with Store(tmp_path / "k.db") as store:
        assert store.is_current()
        with store._writing() as session:
            session.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0999'"))
        assert not store.is_current()


def test_locks_of_a_kind_are_counted(tmp_path: Path) -> None:
    with Store(tmp_path / "k.db") as store:
        assert store.locks.count("worker") == 0
        held = [store.locks.take(name) for name in ("worker-a-1", "worker-b-1", "softmax-1")]
        assert all(held)
        assert (store.locks.count("worker"), store.locks.count("softmax")) == (2, 1)
        assert store.locks.take("worker-a-1") is None  # counting took none away
        for each in held:
            assert each is not None
            each.release()
        assert store.locks.count("worker") == 0
        again = store.locks.take("worker-a-1")
        assert again is not None
        again.release()
