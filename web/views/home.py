"""What the first page shows."""

from __future__ import annotations

from pydantic import BaseModel

from kernelwright.db.store import Store
from kernelwright.rl.run import RunStatus
from kernelwright.web.views.runs import RunLine, run_list

__all__ = ["Home", "home"]

_LOOKED_AT = 30
_SHOWN = 8


class Home(BaseModel):
    """Searches under way, and the newest that have ended."""

    going_on: list[RunLine]
    ended: list[RunLine]


def home(store: Store) -> Home:
    """Of the newest runs, those that go on and those that have ended."""
    lines = run_list(store, limit=_LOOKED_AT).runs
    going_on = [each for each in lines if each.status in (RunStatus.QUEUED, RunStatus.RUNNING)]
    ended = [each for each in lines if each.status not in (RunStatus.QUEUED, RunStatus.RUNNING)]
    return Home(going_on=going_on[:_SHOWN], ended=ended[:_SHOWN])
