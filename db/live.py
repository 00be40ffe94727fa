"""The store's part about searches as they go on: what they say, and who works on them."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from kernelwright.db.attempt_lines import AttemptLine, attempt_lines
from kernelwright.db.locks import Locks
from kernelwright.db.models import RunRow
from kernelwright.db.run_events import RunEvent, add_run_event, last_run_event, run_events
from kernelwright.db.size import StoreSize, store_size
from kernelwright.db.transactions import Transactions
from kernelwright.errors import NotFoundError
from kernelwright.events import Event
from kernelwright.rl.run import RunStatus

__all__ = ["LiveStore"]


class LiveStore(Transactions):
    """Events in, events out; locks over all processes."""

    @property
    def file(self) -> Path | None:
        """The SQLite file; None when the store is in memory or on a server."""
        if self._engine.dialect.name != "sqlite" or self.place == ":memory:" or self.place.startswith("file:"):
            return None
        return Path(self.place)

    @property
    def locks(self) -> Locks:
        """Locks that all processes on this store see; one in memory has none."""
        return Locks(self._engine, None if self.file is None else self.file.with_name(f"{self.file.stem}.locks"))

    @property
    def shared(self) -> bool:
        """Whether other processes can open it."""
        return self.file is not None or self._engine.dialect.name != "sqlite"

    @property
    def url(self) -> str:
        """The SQLAlchemy URL, with its password."""
        return self._engine.url.render_as_string(hide_password=False)

    def attempt_lines(self, run_id: str) -> list[AttemptLine]:
        """The attempts of the run with exactly this id in short, in order."""
        with self._reading() as session:
            return attempt_lines(session, run_id)

    def run_status(self, run_id: str) -> RunStatus:
        """The status of the run with exactly this id.

        Raises:
            NotFoundError: there is none.
        """
        with self._reading() as session:
            found = session.scalar(select(RunRow.status).where(RunRow.id == run_id))
        if found is None:
            raise NotFoundError(f"There is no run {run_id}.", mend="`kernelwright runs` lists what is stored.")
        return RunStatus(found)

    def size(self) -> StoreSize:
        """How much is stored."""
        with self._reading() as session:
            return store_size(session, self.file)

    def queued_runs(self) -> list[str]:
        """Ids of runs that wait for a worker, oldest first."""
        with self._reading() as session:
            query = select(RunRow.id).where(RunRow.status == RunStatus.QUEUED.value)
            return list(session.scalars(query.order_by(RunRow.created, RunRow.id)))

    def add_run_event(self, run_id: str, event: Event) -> None:
        """Keeps what a search said, for who watches it from another process.

        Raises:
            StoreError: there is no run with exactly this id, or it can't be written.
        """
        with self._writing() as session:
            add_run_event(session, run_id, event, self._clock())

    def run_events(self, run_id: str, after: int = 0, limit: int = 500) -> list[RunEvent]:
        """The events of a run behind number `after`, in order, at most `limit`."""
        with self._reading() as session:
            return run_events(session, run_id, after, limit)

    def last_run_event(self, run_id: str) -> int:
        """The number of the newest event of a run; 0 when it has none."""
        with self._reading() as session:
            return last_run_event(session, run_id)
