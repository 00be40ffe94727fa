"""The archive in the database: implements `kernelwright.rl.archive.protocol.Archive`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from kernelwright.db.archive_absorb import is_there, island_of, take_in
from kernelwright.db.archive_check import problems
from kernelwright.db.archive_draw import make_draw, stored_draw
from kernelwright.db.archive_models import ArchiveRow, EntryRow, IslandRow
from kernelwright.db.engine import read_one_moment
from kernelwright.db.models import AttemptRow, ModelCallRow
from kernelwright.db.transactions import insert_once
from kernelwright.db.types import content_id
from kernelwright.errors import StoreError
from kernelwright.rl.archive.islands import ArchiveSettings
from kernelwright.rl.archive.protocol import Draw, Standing
from kernelwright.rl.archive.reading import read
from kernelwright.rl.bandit import Arm, Outcome
from kernelwright.rl.operators import Operator
from kernelwright.rl.run import Attempt
from kernelwright.verifier.evaluation import TimingKind

__all__ = ["SHARED", "DatabaseArchive", "archive_row", "shared_name"]

SHARED = "shared"
"""Name of the archive that all runs on a task may feed; a run's own is named by its id, which no run's is."""
_LATEST = 256
"""Outcomes that a choice of operator is made from; older ones count for less than a hundredth (`rl.bandit`)."""

Transaction = Callable[[], AbstractContextManager[Session]]


def shared_name(calibration: str) -> str:
    """The name of the store's archive of a task. Times under different calibrations of the model are never ranked together.

    Args:
        calibration: `Gpu.calibration_digest`; empty is the model without one.
    """
    return f"{SHARED}-{calibration}" if calibration else SHARED


def archive_row(
    session: Session, task_id: str, gpu: str, kind: TimingKind, name: str, settings: ArchiveSettings, now: datetime
) -> str:
    """The id of the archive; it is made, with its islands, if it is not there, and keeps the settings it was made with."""
    place = {"task_id": task_id, "gpu": gpu, "timing_kind": kind.value, "name": name}
    archive_id = content_id(place)
    columns = {"id": archive_id, **place, "settings": settings.to_json(), "baseline_seconds": None, "created": now}
    if insert_once(session, ArchiveRow, columns):
        for island in range(settings.islands):
            island_of(session, archive_id, island)
    return archive_id


class DatabaseArchive:
    """One archive. `kernelwright.db.store.Store.archive` makes it.

    Args:
        archive_id: of a row that is there.
        reading, writing: give transactions; on SQLite one that writes takes the lock at its beginning.
        clock: gives the times of rows.
    """

    def __init__(
        self, archive_id: str, reading: Transaction, writing: Transaction, clock: Callable[[], datetime]
    ) -> None:
        self.id = archive_id
        self._reading, self._writing, self._clock = reading, writing, clock
        with reading() as session:
            row = session.get_one(ArchiveRow, archive_id)
            self.settings = ArchiveSettings(**row.settings)
            self._task_id, self._gpu, self._kind = row.task_id, row.gpu, TimingKind(row.timing_kind)

    @property
    def islands(self) -> int:
        """How many it has."""
        return self.settings.islands

    def absorb(self, attempts: Sequence[Attempt]) -> None:
        """Takes in the attempts that it does not have yet; all or, if one is refused, none.

        One that passed with a time of another kind, or for another GPU, is passed over: such times are not ranked together.

        Raises:
            StoreError: an attempt is of another task, or is not stored.
        """
        for attempt in attempts:
            if attempt.evaluation.task_id != self._task_id:
                raise StoreError(
                    f"Attempt {attempt.number} of run {attempt.run_id} is about task {attempt.evaluation.task_id}, the "
                    f"archive about {self._task_id}."
                )
        fitting = [attempt for attempt in attempts if self._fits(attempt)]
        if not fitting:
            return
        with self._reading() as session:
            found = session.execute(
                select(EntryRow.run_id, EntryRow.number).where(
                    EntryRow.archive_id == self.id, EntryRow.run_id.in_({a.run_id for a in fitting})
                )
            )
            there = {(row.run_id, row.number) for row in found}
        new = [attempt for attempt in fitting if (attempt.run_id, attempt.number) not in there]
        readings = [read(attempt) for attempt in new]  # before the lock is taken: parsing takes longer than writing
        if not new:
            return
        with self._writing() as session:
            row = session.get_one(ArchiveRow, self.id, with_for_update=True)
            for attempt, reading in zip(new, readings, strict=True):
                if not is_there(session, self.id, attempt):
                    take_in(session, row, attempt, reading, self.islands, self._clock())

    def _fits(self, attempt: Attempt) -> bool:
        timing = attempt.evaluation.timing
        return timing is None or (timing.kind is self._kind and timing.gpu == self._gpu)

    def standing(self, island: int) -> Standing:
        """What the island has to offer; all zeros of one that nothing was drawn for."""
        with self._reading() as session:
            row = session.get(IslandRow, (self.id, island))
            if row is None:
                return Standing(island, 0, 0, None, 0)
            return Standing(island, row.passed, row.failed, row.best_seconds, row.since_gain)

    def outcomes(self) -> Sequence[Outcome]:
        """What the latest attempts that were drawn here gained and cost, at most 256 of them, oldest first.

        Where no model was paid, every attempt counts as one second: the built-in coder's operators cost the same, and what a
        busy machine made of them must not decide what the next run on it does.
        """
        with self._reading() as session:
            found = session.execute(
                select(
                    EntryRow.run_id,
                    EntryRow.number,
                    EntryRow.operator,
                    AttemptRow.author,  # of its kernel: who was asked may have let another one write it
                    EntryRow.gain,
                    EntryRow.seconds,
                    AttemptRow.seconds.label("spent"),
                )
                .join(AttemptRow, (EntryRow.run_id == AttemptRow.run_id) & (EntryRow.number == AttemptRow.number))
                .where(EntryRow.archive_id == self.id, EntryRow.operator != "")
                .order_by(EntryRow.id.desc())
                .limit(_LATEST)
            ).all()
            paid: dict[tuple[str, int], Decimal] = {}
            if found:
                runs = {entry.run_id for entry in found}
                calls = session.execute(
                    select(ModelCallRow.run_id, ModelCallRow.attempt, ModelCallRow.dollars).where(
                        ModelCallRow.run_id.in_(runs)
                    )
                )
                for run_id, number, dollars in calls:
                    paid[run_id, number] = paid.get((run_id, number), Decimal(0)) + Decimal(dollars)
        by_clock = any(paid.values())
        return [
            Outcome(
                arm=Arm(Operator(entry.operator), entry.author),
                gain=entry.gain,
                dollars=float(paid.get((entry.run_id, entry.number), 0)),
                seconds=entry.spent if by_clock else 1.0,
                passed=entry.seconds is not None,
            )
            for entry in reversed(found)
        ]

    def problems(self) -> list[str]:
        """Where what is kept beside entries and draws differs from what they say; nothing, or a bug. Looks at every entry, as they
        were at one moment: others may write meanwhile."""
        with self._reading() as session:
            read_one_moment(session)
            return problems(session, self.id)

    def drawn(self, run_id: str, number: int) -> Draw | None:
        """The draw that was made for this attempt, if one was."""
        with self._reading() as session:
            return stored_draw(session, self.id, run_id, number)

    def draw(self, run_id: str, number: int, island: int, operator: Operator, author: str, seed: str) -> Draw:
        """Draws parents for the attempt, or gives back the draw that was made for it before.

        The operator of the draw may be another one than asked for, where the archive lacks the parents it needs: a note
        says so.

        Raises:
            StoreError: there is no such run.
            ValueError: there is no such island.
        """
        if not 0 <= island < self.islands:
            raise ValueError(f"the archive has islands 0 to {self.islands - 1}, not {island}")
        with self._writing() as session:
            row = session.get_one(ArchiveRow, self.id, with_for_update=True)
            before = stored_draw(session, self.id, run_id, number)
            if before is not None:
                return before
            return make_draw(
                session, row, self.settings, run_id, number, island, operator, author, seed, self._clock()
            )  # fmt: skip
