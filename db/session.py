"""The session of the store: one that refuses to change or delete what must stay as written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import event, inspect
from sqlalchemy.orm import ORMExecuteState, Session, UOWTransaction

from kernelwright.db.models import Immutable
from kernelwright.errors import StoreError

__all__ = ["GuardedSession"]


class GuardedSession(Session):
    """Refuses UPDATE and DELETE of `Immutable` rows, object by object or in bulk, with a `StoreError`."""


@event.listens_for(GuardedSession, "before_flush")
def _refuse_objects(session: Session, _context: UOWTransaction, _instances: Sequence[Any] | None) -> None:
    for row in (*session.dirty, *session.deleted):
        if isinstance(row, Immutable) and (row in session.deleted or session.is_modified(row)):
            raise _refusal(type(row))


@event.listens_for(GuardedSession, "do_orm_execute")
def _refuse_statements(state: ORMExecuteState) -> None:
    if state.is_update or state.is_delete:
        for mapper in state.all_mappers:
            if issubclass(mapper.class_, Immutable):
                raise _refusal(mapper.class_)


def _refusal(row: type[Any]) -> StoreError:
    return StoreError(f"Stored {inspect(row).local_table.name} are immutable: nothing may change or delete them.")
