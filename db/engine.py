"""Opening the database: SQLite in WAL mode by default, any SQLAlchemy URL otherwise."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from kernelwright.db.types import dump_json, load_json
from kernelwright.errors import StoreError

__all__ = ["BUSY_SECONDS", "make_engine", "place_of", "read_one_moment", "use_wal", "writing"]

BUSY_SECONDS = 30.0
"""How long a writer waits for another one, in seconds. Ours hold the lock for milliseconds."""

_BEGIN = "kernelwright_begin"


def _url(place: str | Path) -> URL:
    if isinstance(place, str) and "://" in place:
        try:
            return make_url(place)
        except ArgumentError as error:
            raise StoreError(
                f"{place!r} is no database URL.", mend="Give a path, or a URL such as postgresql+psycopg://host/name."
            ) from error
    return URL.create("sqlite", database=str(place))


def place_of(engine: Engine) -> str:
    """The database as a person names it: the path, or the URL without its password."""
    if engine.dialect.name == "sqlite":
        return engine.url.database or ":memory:"
    return engine.url.render_as_string(hide_password=True)


def make_engine(place: str | Path, *, busy_seconds: float = BUSY_SECONDS) -> Engine:
    """An engine for a path (SQLite, its folder is made if absent) or a SQLAlchemy URL.

    Raises:
        StoreError: the URL can't be read, its driver is not installed, or the folder can't be made.
    """
    url = _url(place)
    options: dict[str, Any] = {"json_serializer": dump_json, "json_deserializer": load_json}
    if url.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": busy_seconds, "check_same_thread": False}
        if url.database in {None, "", ":memory:"}:
            options["poolclass"] = StaticPool  # a second connection would see another, empty database
        elif url.database is not None and not url.database.startswith("file:"):
            try:
                Path(url.database).expanduser().parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(
                    f"The folder of the database {url.database} can't be made ({error.strerror}).",
                    mend="Choose another place for the database.",
                ) from error
            url = url.set(database=str(Path(url.database).expanduser()))
    try:
        engine = create_engine(url, **options)
    except (NoSuchModuleError, ModuleNotFoundError, ArgumentError) as error:
        raise StoreError(
            f"No driver for the database {url.render_as_string(hide_password=True)} ({error}).",
            mend="Install it; for PostgreSQL: pip install 'psycopg[binary]' and a postgresql+psycopg URL.",
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def writing(engine: Engine) -> Engine:
    """The same engine for transactions that write.

    On SQLite they take the write lock at once (BEGIN IMMEDIATE) and queue for it. A transaction that begins by reading
    and then writes fails at once, without waiting, when another process wrote in between.
    """
    return engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})


def read_one_moment(session: Session) -> None:
    """Lets all statements of a session that has not begun yet see the database as it is at the first of them. A transaction on
    SQLite does; on PostgreSQL each statement sees what was committed before it, unless it is told otherwise."""
    if session.get_bind().dialect.name == "postgresql":
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})


def use_wal(engine: Engine) -> None:
    """Puts a SQLite file into WAL mode, so that readers and a writer do not wait for each other; a file stays in it.

    SQLite answers "locked" without waiting when two processes do this to a new file at once, hence the loop.
    """
    if engine.dialect.name != "sqlite":
        return
    pooled = engine.raw_connection()  # the change must be outside a transaction
    try:
        driver: Any = pooled.driver_connection
        deadline = time.monotonic() + float(driver.execute("PRAGMA busy_timeout").fetchone()[0]) / 1e3
        while True:
            try:
                driver.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                    raise
                time.sleep(0.01)
            else:
                return
    finally:
        pooled.close()


def _set_up_sqlite(driver: Any, _record: Any) -> None:
    driver.isolation_level = None  # the driver must not begin transactions by itself: _begin_sqlite does
    for pragma in (
        "foreign_keys = ON",
        "recursive_triggers = ON",  # else INSERT OR REPLACE would delete a row without asking the triggers
        "synchronous = FULL",  # a stored attempt outlives a power cut too; one fsync a commit, a few per minute
    ):
        driver.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    connection.execute(text(connection.get_execution_options().get(_BEGIN, "BEGIN")))
