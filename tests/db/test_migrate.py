"""The schema: made from nothing, brought up to date, equal to the models, and never somebody else's."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from kernelwright.db.engine import make_engine, writing
from kernelwright.db.fulltext import FTS_TABLE
from kernelwright.db.migrate import _KNOWN, HEAD, VERSION_TABLE, alembic_config, revision_of, upgrade
from kernelwright.db.models import Base
from kernelwright.db.store import Store
from kernelwright.errors import StoreError


@pytest.fixture
def engine(tmp_path: Path):  # type: ignore[no-untyped-def]
    engine = make_engine(tmp_path / "k.db")
    yield engine
    engine.dispose()


def own_table(name: str | None, kind: str, _parents: object) -> bool:
    """The tables in which FTS5 keeps the full text are its own."""
    return kind != "table" or not (name or "").startswith(FTS_TABLE)


def tables(connection: Connection) -> set[str]:
    return {name for name in inspect(connection).get_table_names() if own_table(name, "table", None)}


def test_from_empty_and_again(engine: Engine) -> None:
    with engine.connect() as connection:
        assert revision_of(connection) is None
    for _ in range(2):
        upgrade(engine)
        with engine.connect() as connection:
            assert revision_of(connection) == HEAD
            assert tables(connection) == {*Base.metadata.tables, VERSION_TABLE}


def test_models_match_migrations(engine: Engine) -> None:
    upgrade(engine)
    with engine.connect() as connection:
        opts = {"version_table": VERSION_TABLE, "compare_type": True, "include_name": own_table}
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, Base.metadata) == []


def test_constants_match_the_scripts(engine: Engine) -> None:
    with engine.connect() as connection:
        scripts = ScriptDirectory.from_config(alembic_config(connection))
    assert scripts.get_heads() == [HEAD]
    assert {script.revision for script in scripts.walk_revisions()} == _KNOWN


def test_downgrade_leaves_nothing(engine: Engine) -> None:
    upgrade(engine)
    with writing(engine).begin() as connection:
        command.downgrade(alembic_config(connection), "base")
        assert inspect(connection).get_table_names() == [VERSION_TABLE]
    upgrade(engine)  # an empty version table counts as empty


def test_failed_migration_leaves_nothing(engine: Engine) -> None:
    """DDL is in the transaction: the disk fills up in the middle, and the next one begins from nothing."""
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.execute("PRAGMA max_page_count = 12")
    with pytest.raises(StoreError, match="no room left"):
        upgrade(engine)
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == []
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.execute("PRAGMA max_page_count = 100000")
    upgrade(engine)


def test_newer_schema_is_left_alone(tmp_path: Path) -> None:
    with Store(tmp_path / "k.db") as store, store._writing() as session:
        session.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0999'"))
    with pytest.raises(StoreError, match=rf"newer Kernelwright \(schema 0999; .* up to {HEAD}\)\. Upgrade"):
        Store(tmp_path / "k.db")


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "theirs.db")
    connection.execute("CREATE TABLE photos (id)")
    connection.close()
    before = (tmp_path / "theirs.db").read_bytes()
    with pytest.raises(StoreError, match=r"not one of Kernelwright's: it has the tables photos\. Name another"):
        Store(tmp_path / "theirs.db")
    assert (tmp_path / "theirs.db").read_bytes() == before


def test_up_to_date_database_opens_without_alembic(tmp_path: Path) -> None:
    Store(tmp_path / "k.db").close()
    script = (
        "import sys; from kernelwright.db.store import Store; Store(sys.argv[1]).close(); "
        "sys.exit(bool({'alembic', 'torch', 'langgraph'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "k.db")], env=dict(os.environ), check=False)
    assert done.returncode == 0


def test_wal_and_foreign_keys_are_on(tmp_path: Path) -> None:
    with Store(tmp_path / "k.db") as store, store._reading() as session:
        pragmas = {"journal_mode": "wal", "foreign_keys": 1, "recursive_triggers": 1, "synchronous": 2}
        assert {name: session.scalar(text(f"PRAGMA {name}")) for name in pragmas} == pragmas


def test_what_the_second_schema_held_is_still_there(tmp_path: Path) -> None:
    """A database of the version before suites: upgraded in place, with its runs, and usable for suites."""
    from bench_doubles import BENCH, OTHER, items
    from search_doubles import TASK, attempt, run

    path = tmp_path / "k.db"
    engine = make_engine(path)
    with writing(engine).begin() as connection:
        command.upgrade(alembic_config(connection), "0002")
        assert "bench_runs" not in inspect(connection).get_table_names()
    engine.dispose()
    with Store(tmp_path / "new.db") as store:
        store.create_run(run("softmax-old"))
        store.add_attempt(attempt("softmax-old", 1, 1e-5))
    with sqlite3.connect(path) as old:
        old.execute("ATTACH ? AS new", (str(tmp_path / "new.db"),))
        for table in ("tasks", "task_attachments", "kernels", "devices", "evaluations", "runs", "attempts"):
            old.execute(f"INSERT INTO {table} SELECT * FROM new.{table}")
    old.close()
    with Store(path) as store, store._reading() as session:
        assert revision_of(session.connection()) == HEAD
        assert store.attempts("softmax-old") == [attempt("softmax-old", 1, 1e-5)]
        store.create_bench_run(BENCH, items(), [TASK, OTHER])
        assert store.bench_items(BENCH.id) == items()


def test_what_the_third_schema_held_is_still_there(tmp_path: Path) -> None:
    """A database of the version before submissions: upgraded in place, with its bench runs, and usable for submissions."""
    from bench_doubles import BENCH, OTHER, items
    from search_doubles import TASK
    from submission_doubles import submission

    path = tmp_path / "k.db"
    engine = make_engine(path)
    with writing(engine).begin() as connection:
        command.upgrade(alembic_config(connection), "0003")
        assert "submissions" not in inspect(connection).get_table_names()
    engine.dispose()
    with Store(tmp_path / "new.db") as store:
        store.create_bench_run(BENCH, items(), [TASK, OTHER])
    with sqlite3.connect(path) as old:
        old.execute("ATTACH ? AS new", (str(tmp_path / "new.db"),))
        for table in ("tasks", "task_attachments", "bench_runs", "bench_items"):
            old.execute(f"INSERT INTO {table} SELECT * FROM new.{table}")
    old.close()
    with Store(path) as store, store._reading() as session:
        assert revision_of(session.connection()) == HEAD
        assert store.bench_items(BENCH.id) == items()
        store.add_submission(submission())
        assert store.submissions() == [submission()]


def test_what_the_fourth_schema_held_is_still_there(tmp_path: Path) -> None:
    """A database of the version before archives: upgraded in place, and its attempts can be taken into one."""
    from archive_doubles import an_archive, attempt

    path = tmp_path / "k.db"
    engine = make_engine(path)
    with writing(engine).begin() as connection:
        command.upgrade(alembic_config(connection), "0004")
        assert "archives" not in inspect(connection).get_table_names()
    engine.dispose()
    with Store(tmp_path / "new.db") as store:
        an_archive(store)
        store.add_attempt(attempt(1, 1e-5))
    with sqlite3.connect(path) as old:
        old.execute("ATTACH ? AS new", (str(tmp_path / "new.db"),))
        for table in ("tasks", "task_attachments", "kernels", "devices", "evaluations", "runs", "attempts"):
            old.execute(f"INSERT INTO {table} SELECT * FROM new.{table}")
    old.close()
    with Store(path) as store:
        archive = an_archive(store)
        archive.absorb(store.attempts("evolve-1"))
        assert sum(archive.standing(island).passed for island in range(archive.islands)) == 1
