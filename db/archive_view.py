"""Archives to look at: their islands, and the kernels that are bred from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from kernelwright.db.archive_models import ArchiveRow, DrawRow, EliteRow, EntryRow, IslandRow
from kernelwright.db.models import TaskRow
from kernelwright.rl.archive.features import Features
from kernelwright.verifier.evaluation import TimingKind

__all__ = ["ArchiveView", "EliteView", "IslandView", "archive_views"]


@dataclass(frozen=True)
class IslandView:
    """An island; `passed` and `failed` count different kernels."""

    island: int
    entries: int
    passed: int
    failed: int
    best_seconds: float | None
    since_gain: int
    restarts: int


@dataclass(frozen=True)
class EliteView:
    """The best kernel of a cell of an island."""

    island: int
    cell: str
    run_id: str
    number: int
    kernel_id: str
    seconds: float
    speedup: float
    """Over the archive's baseline."""
    generation: int
    """0 is from the reference; a child is one more than the older of its parents."""
    operator: str
    author: str
    offspring: int
    features: Features | None


@dataclass(frozen=True)
class ArchiveView:
    """An archive with its islands, and its elites by island and time."""

    id: str
    task_id: str
    task_name: str
    gpu: str
    timing_kind: TimingKind
    name: str
    baseline_seconds: float | None
    settings: Mapping[str, Any]
    created: datetime
    islands: tuple[IslandView, ...]
    elites: tuple[EliteView, ...]


def archive_views(
    session: Session, limit: int, *, run_id: str | None = None, task_id: str | None = None
) -> list[ArchiveView]:
    """The newest archives first, at most `limit`; only those that a run drew from, or of a task, if one is given."""
    query = select(ArchiveRow, TaskRow.name).join(TaskRow, TaskRow.id == ArchiveRow.task_id)
    if run_id is not None:
        query = query.where(ArchiveRow.id.in_(select(DrawRow.archive_id).where(DrawRow.run_id == run_id)))
    if task_id is not None:
        query = query.where(ArchiveRow.task_id == task_id)
    found = session.execute(query.order_by(ArchiveRow.created.desc(), ArchiveRow.id).limit(limit)).all()
    return [_view(session, row, name) for row, name in found]


def _view(session: Session, row: ArchiveRow, task_name: str) -> ArchiveView:
    islands = session.scalars(
        select(IslandRow).where(IslandRow.archive_id == row.id).order_by(IslandRow.island)
    )  # fmt: skip
    elites = session.execute(
        select(EliteRow.offspring, EntryRow)
        .join(EntryRow, EntryRow.id == EliteRow.entry_id)
        .where(EliteRow.archive_id == row.id)
        .order_by(EliteRow.island, EliteRow.seconds, EliteRow.cell)
    )
    return ArchiveView(
        id=row.id,
        task_id=row.task_id,
        task_name=task_name,
        gpu=row.gpu,
        timing_kind=TimingKind(row.timing_kind),
        name=row.name,
        baseline_seconds=row.baseline_seconds,
        settings=dict(row.settings),
        created=row.created,
        islands=tuple(
            IslandView(i.island, i.entries, i.passed, i.failed, i.best_seconds, i.since_gain, i.restarts)
            for i in islands
        ),
        elites=tuple(
            EliteView(
                island=entry.island,
                cell=entry.cell or "",
                run_id=entry.run_id,
                number=entry.number,
                kernel_id=entry.kernel_id,
                seconds=entry.seconds or 0.0,
                speedup=(row.baseline_seconds or 0.0) / (entry.seconds or 1.0),
                generation=entry.generation,
                operator=entry.operator,
                author=entry.author,
                offspring=offspring,
                features=None if entry.features is None else Features.from_json(entry.features),
            )
            for offspring, entry in elites
        ),
    )
