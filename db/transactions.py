"""What the store stands on: an opened database, its transactions, and rows that are stored once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, sessionmaker

from kernelwright.bench_tasks.task import Task
from kernelwright.db import rows
from kernelwright.db.catalogue import traits_row
from kernelwright.db.catalogue_models import TaskTraitsRow
from kernelwright.db.engine import BUSY_SECONDS, make_engine, place_of, use_wal, writing
from kernelwright.db.migrate import upgrade
from kernelwright.db.models import Base, TaskAttachmentRow, TaskRow
from kernelwright.db.session import GuardedSession
from kernelwright.db.trouble import translated
from kernelwright.db.uninterrupted import uninterrupted

__all__ = ["Transactions", "insert_once"]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Transactions:
    """A database, opened and brought up to date; `kernelwright.db.store.Store` says what the arguments are."""

    def __init__(
        self, place: str | Path, *, clock: Callable[[], datetime] = _utc_now, busy_seconds: float = BUSY_SECONDS
    ) -> None:
        self._engine = make_engine(place, busy_seconds=busy_seconds)
        self._clock = clock
        self.place = place_of(self._engine)
        """The database as a person names it."""
        try:
            upgrade(self._engine)
            with translated(self.place):
                use_wal(self._engine)
        except BaseException:
            self._engine.dispose()
            raise
        self._reader = sessionmaker(self._engine, class_=GuardedSession, expire_on_commit=False)
        self._writer = sessionmaker(writing(self._engine), class_=GuardedSession, expire_on_commit=False)

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with uninterrupted(), translated(self.place), self._reader() as session:
            yield session

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with uninterrupted(), translated(self.place), self._writer.begin() as session:
            yield session

    def _add_task(self, session: Session, task: Task) -> None:
        if insert_once(session, TaskRow, rows.task_columns(task, self._clock())):
            session.execute(insert(TaskTraitsRow).values(traits_row(task.id, task.name, task.source)))
            for name, data in task.attachments.items():
                session.execute(insert(TaskAttachmentRow).values(task_id=task.id, name=name, data=data))


def insert_once(session: Session, table: type[Base], columns: rows.Columns) -> bool:
    """Inserts a row named by its content unless it is there; whether it was inserted."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(columns).on_conflict_do_nothing(index_elements=["id"])
    return session.execute(statement.returning(table.__table__.c.id)).first() is not None
