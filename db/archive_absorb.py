"""Taking attempts into an archive: is it a duplicate, whose island, which cell, and is it the best there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from kernelwright.agents.ranking import NOTICEABLE
from kernelwright.db.archive_models import ArchiveRow, DrawParentRow, DrawRow, EliteRow, EntryRow, IslandRow, table_of
from kernelwright.rl.archive.duplicates import ALIKE, similarity
from kernelwright.rl.archive.reading import Reading
from kernelwright.rl.bandit import gain
from kernelwright.rl.run import Attempt

__all__ = ["After", "after", "is_there", "island_of", "take_in"]

_COMPARED = 64
"""Kernels of the same cell and time whose sources a new one is compared with at most; the index gives the fastest first."""


@dataclass(frozen=True)
class After:
    """An island after one more entry; times in seconds."""

    best_seconds: float | None
    epoch_seconds: float | None
    since_gain: int


def after(best: float | None, epoch: float | None, since: int, seconds: float | None) -> After:
    """What an entry makes of an island's best times; a duplicate or a failure comes as None."""
    if seconds is None:
        return After(best, epoch, since + 1)
    gained = epoch is None or seconds * NOTICEABLE <= epoch
    return After(
        seconds if best is None else min(best, seconds),
        seconds if epoch is None else min(epoch, seconds),
        0 if gained else since + 1,
    )


def is_there(session: Session, archive_id: str, attempt: Attempt) -> bool:
    """Whether the archive has the attempt."""
    query = select(EntryRow.id).where(
        EntryRow.archive_id == archive_id, EntryRow.run_id == attempt.run_id, EntryRow.number == attempt.number
    )
    return session.scalar(query) is not None


def island_of(session: Session, archive_id: str, island: int) -> Mapping[str, Any]:
    """The row of an island, which is made if there is none yet."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    query = select(table_of(IslandRow)).where(IslandRow.archive_id == archive_id, IslandRow.island == island)
    found = session.execute(query).mappings().first()
    if found is None:
        empty = {
            "entries": 0,
            "passed": 0,
            "failed": 0,
            "since_gain": 0,
            "migrated_at": 0,
            "restarts": 0,
            "since_entry": 0,
        }
        row = {"archive_id": archive_id, "island": island, **empty}
        session.execute(dialect.insert(IslandRow).values(row).on_conflict_do_nothing())
        found = session.execute(query).mappings().one()
    return {str(name): value for name, value in found.items()}


def take_in(
    session: Session, archive: ArchiveRow, attempt: Attempt, reading: Reading, islands: int, now: datetime
) -> None:
    """Adds one attempt that the archive does not have.

    Args:
        islands: that the archive has; an attempt that was not drawn here goes to one of them by its kernel's id.
    """
    timing = attempt.evaluation.timing
    seconds = None if timing is None else timing.seconds
    draw = session.execute(
        select(DrawRow.id, DrawRow.island, DrawRow.operator).where(
            DrawRow.run_id == attempt.run_id, DrawRow.number == attempt.number, DrawRow.archive_id == archive.id
        )
    ).first()
    island = int(attempt.kernel.id, 16) % islands if draw is None else draw.island
    if timing is not None and archive.baseline_seconds is None:
        archive.baseline_seconds = timing.baseline_seconds
        session.flush()
    state = island_of(session, archive.id, island)
    original = _original(session, archive.id, attempt, reading)
    new = original is None
    counted = seconds if new else None
    entry = session.execute(
        insert(EntryRow)
        .values(
            archive_id=archive.id,
            run_id=attempt.run_id,
            number=attempt.number,
            kernel_id=attempt.kernel.id,
            island=island,
            operator="" if draw is None else draw.operator,
            author=attempt.kernel.author,
            generation=_generation(session, None if draw is None else draw.id),
            verdict=attempt.evaluation.verdict.value,
            seconds=seconds,
            score=None if seconds is None else math.log((archive.baseline_seconds or seconds) / seconds),
            gain=gain(state["best_seconds"], counted),
            cell=reading.cell,
            features=None if reading.features is None else reading.features.to_json(),
            nearness=reading.nearness,
            source_hash=reading.source_hash,
            code_hash=reading.code_hash,
            sketch=reading.sketch,
            duplicate_of=original,
            created=now,
        )
        .returning(EntryRow.id)
    ).scalar_one()
    stands = after(state["best_seconds"], state["epoch_seconds"], state["since_gain"], counted)
    session.execute(
        update(table_of(IslandRow))
        .where(IslandRow.archive_id == archive.id, IslandRow.island == island)
        .values(
            entries=state["entries"] + 1,
            passed=state["passed"] + (counted is not None),
            failed=state["failed"] + (new and reading.nearness is not None),
            best_seconds=stands.best_seconds,
            epoch_seconds=stands.epoch_seconds,
            since_gain=stands.since_gain,
        )
    )
    if counted is not None and reading.cell is not None:
        _stand(session, archive.id, island, reading.cell, entry, counted)


def _stand(session: Session, archive_id: str, island: int, cell: str, entry: int, seconds: float) -> None:
    """The entry is its cell's elite if it is the first there, or noticeably faster."""
    place = (EliteRow.archive_id == archive_id, EliteRow.island == island, EliteRow.cell == cell)
    best = session.scalar(select(EliteRow.seconds).where(*place))
    if best is None:
        session.execute(
            insert(EliteRow).values(
                archive_id=archive_id, island=island, cell=cell, entry_id=entry, seconds=seconds, offspring=0
            )
        )
    elif seconds * NOTICEABLE <= best:
        session.execute(update(table_of(EliteRow)).where(*place).values(entry_id=entry, seconds=seconds, offspring=0))


def _original(session: Session, archive_id: str, attempt: Attempt, reading: Reading) -> int | None:
    """The entry that this one is a duplicate of: the first of its like that came to the same verdict."""
    alike = (
        EntryRow.archive_id == archive_id,
        EntryRow.duplicate_of.is_(None),
        EntryRow.verdict == attempt.evaluation.verdict.value,
    )
    for column, value in ((EntryRow.source_hash, reading.source_hash), (EntryRow.code_hash, reading.code_hash)):
        if value:
            found = session.scalar(select(func.min(EntryRow.id)).where(column == value, *alike))
            if found is not None:
                return int(found)
    timing = attempt.evaluation.timing
    if reading.sketch is None or timing is None:
        return None
    near = session.execute(
        select(EntryRow.id, EntryRow.sketch)
        .where(
            EntryRow.cell == reading.cell,
            EntryRow.seconds.between(timing.seconds / NOTICEABLE, timing.seconds * NOTICEABLE),
            EntryRow.sketch.is_not(None),
            *alike,
        )
        .order_by(EntryRow.seconds, EntryRow.id)
        .limit(_COMPARED)
    )
    same = [
        row.id
        for row in near
        if len(row.sketch) == len(reading.sketch) and similarity(row.sketch, reading.sketch) >= ALIKE
    ]
    return min(same, default=None)


def _generation(session: Session, draw_id: int | None) -> int:
    if draw_id is None:
        return 0
    oldest = session.scalar(
        select(func.max(EntryRow.generation))
        .join(DrawParentRow, DrawParentRow.entry_id == EntryRow.id)
        .where(DrawParentRow.draw_id == draw_id)
    )
    return 0 if oldest is None else int(oldest) + 1
