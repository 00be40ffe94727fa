"""What a search says while it goes on, kept so that somebody else can watch it: the web page, from another process.

Events of a run are numbered from 1. Those of the stages of an attempt are dropped once it has ended, as its evaluation holds them:
what stays is some three rows an attempt. So numbers rise, and may have gaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from kernelwright.db.models import RunEventRow
from kernelwright.events import AttemptFinished, Event, StageFinished, StageStarted, event_json

__all__ = ["RunEvent", "add_run_event", "last_run_event", "run_events"]

_PASSING = (StageStarted.__name__, StageFinished.__name__)


@dataclass(frozen=True)
class RunEvent:
    """An event as it was kept; `name` and `fields` are those of `kernelwright.events`, as `event_json` gives them."""

    number: int
    name: str
    fields: dict[str, Any]
    created: datetime


def add_run_event(session: Session, run_id: str, event: Event, now: datetime) -> None:
    """Keeps an event of the run with exactly this id."""
    data = event_json(event)
    last = last_run_event(session, run_id)  # before any are dropped: no number is given twice
    if isinstance(event, AttemptFinished):
        session.execute(delete(RunEventRow).where(RunEventRow.run_id == run_id, RunEventRow.name.in_(_PASSING)))
    session.execute(
        insert(RunEventRow).values(
            run_id=run_id, number=last + 1, name=data["event"], fields=data["fields"], created=now
        )
    )


def run_events(session: Session, run_id: str, after: int, limit: int) -> list[RunEvent]:
    """The events behind number `after`, in order, at most `limit`."""
    query = (
        select(RunEventRow.number, RunEventRow.name, RunEventRow.fields, RunEventRow.created)
        .where(RunEventRow.run_id == run_id, RunEventRow.number > after)
        .order_by(RunEventRow.number)
        .limit(limit)
    )
    return [RunEvent(*row) for row in session.execute(query)]


def last_run_event(session: Session, run_id: str) -> int:
    """The number of the newest; 0 when there is none."""
    return session.scalar(select(func.max(RunEventRow.number)).where(RunEventRow.run_id == run_id)) or 0
