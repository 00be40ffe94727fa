"""The store's part about how it fares: for health checks and metrics."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select

from kernelwright.db.migrate import HEAD, revision_of
from kernelwright.db.models import EvaluationRow, RunRow
from kernelwright.db.transactions import Transactions
from kernelwright.rl.run import RunStatus

__all__ = ["Counts", "HealthStore"]


@dataclass(frozen=True)
class Counts:
    """How much is stored."""

    runs: dict[RunStatus, int]
    """Of every status, 0 where there is none."""
    evaluations: int


class HealthStore(Transactions):
    """Figures out."""

    def is_current(self) -> bool:
        """Whether its tables are those of this version: another process may have upgraded them.

        Raises:
            StoreError: it can't be read.
        """
        with self._reading() as session:
            return revision_of(session.connection()) == HEAD

    def counts(self) -> Counts:
        """How much is stored; 10 to 30 ms with a million evaluations on SQLite."""
        with self._reading() as session:
            query = select(RunRow.status, func.count()).group_by(RunRow.status)
            found = {row[0]: int(row[1]) for row in session.execute(query)}
            evaluations = session.scalar(select(func.count()).select_from(EvaluationRow)) or 0
        return Counts({status: found.get(status.value, 0) for status in RunStatus}, evaluations)
