"""Tables of the archive that evolution draws from (see `kernelwright.db.archive`).

Entries and draws are immutable. Elites and islands hold what could be counted anew from them, so that no draw has to look at all
entries; `kernelwright.db.archive_check` counts anew and compares.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from kernelwright.db.models import HASH, Base, Immutable

__all__ = ["ArchiveRow", "DrawParentRow", "DrawRow", "EliteRow", "EntryRow", "IslandRow", "table_of"]


def table_of(row: type[Base]) -> Table:
    """Its table, for statements that need no objects."""
    found = row.__table__
    assert isinstance(found, Table)
    return found


class ArchiveRow(Base):
    """An archive: kernels of one task for one GPU with one kind of time. `baseline_seconds` is set once, when a kernel passes."""

    __tablename__ = "archives"
    __table_args__ = (
        UniqueConstraint("task_id", "gpu", "timing_kind", "name"),
        CheckConstraint("timing_kind IN ('measured', 'modelled')", name="timing_kind_known"),
        CheckConstraint("baseline_seconds > 0", name="baseline_positive"),
    )

    id: Mapped[str] = mapped_column(HASH, primary_key=True)
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id"))
    gpu: Mapped[str]
    timing_kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(64))
    settings: Mapped[dict[str, Any]]
    baseline_seconds: Mapped[float | None]
    created: Mapped[datetime]


class EntryRow(Immutable, Base):
    """An attempt that the archive has taken in. Times in seconds.

    `score` is the natural logarithm of the speed-up over the archive's baseline; `gain` what the attempt brought to its island
    (`rl.bandit.gain`); `nearness`, of a failure that can be mended, its stages passed and more the smaller its error.
    """

    __tablename__ = "archive_entries"
    __table_args__ = (
        ForeignKeyConstraint(["run_id", "number"], ["attempts.run_id", "attempts.number"]),
        UniqueConstraint("archive_id", "run_id", "number"),
        CheckConstraint("(seconds IS NULL) = (cell IS NULL)", name="only_passed_has_cell"),
        CheckConstraint("seconds > 0", name="seconds_positive"),
        CheckConstraint("island >= 0 AND generation >= 0", name="counts_from_zero"),
        Index(None, "archive_id", "id"),
        Index(None, "archive_id", "source_hash"),
        Index(None, "archive_id", "code_hash"),
        Index(None, "archive_id", "cell", "seconds"),
        Index(None, "archive_id", "island", "seconds"),
        Index(None, "archive_id", "island", "nearness"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    archive_id: Mapped[str] = mapped_column(ForeignKey("archives.id"))
    run_id: Mapped[str] = mapped_column(String(64))
    number: Mapped[int]
    kernel_id: Mapped[str] = mapped_column(ForeignKey("kernels.id"))
    island: Mapped[int]
    operator: Mapped[str] = mapped_column(String(16))
    author: Mapped[str] = mapped_column(Text)
    generation: Mapped[int]
    verdict: Mapped[str] = mapped_column(String(16))
    seconds: Mapped[float | None]
    score: Mapped[float | None]
    gain: Mapped[float]
    cell: Mapped[str | None] = mapped_column(String(64))
    features: Mapped[dict[str, Any] | None]
    nearness: Mapped[float | None]
    source_hash: Mapped[str] = mapped_column(HASH)
    code_hash: Mapped[str] = mapped_column(HASH)
    sketch: Mapped[bytes | None] = mapped_column(LargeBinary)
    duplicate_of: Mapped[int | None] = mapped_column(ForeignKey("archive_entries.id"))
    created: Mapped[datetime]


class EliteRow(Base):
    """The fastest kernel of a cell of an island since that was last begun anew."""

    __tablename__ = "archive_elites"
    __table_args__ = (CheckConstraint("offspring >= 0", name="offspring_from_zero"),)

    archive_id: Mapped[str] = mapped_column(ForeignKey("archives.id"), primary_key=True)
    island: Mapped[int] = mapped_column(primary_key=True)
    cell: Mapped[str] = mapped_column(String(64), primary_key=True)
    entry_id: Mapped[int] = mapped_column(ForeignKey("archive_entries.id"), index=True)
    seconds: Mapped[float]
    offspring: Mapped[int]
    """Draws in which it is a parent, of any island."""


class IslandRow(Base):
    """Where an island stands; `passed` and `failed` count different kernels, times are in seconds."""

    __tablename__ = "archive_islands"

    archive_id: Mapped[str] = mapped_column(ForeignKey("archives.id"), primary_key=True)
    island: Mapped[int] = mapped_column(primary_key=True)
    entries: Mapped[int]
    passed: Mapped[int]
    failed: Mapped[int]
    best_seconds: Mapped[float | None]
    epoch_seconds: Mapped[float | None]
    """The best since the island was last begun anew."""
    since_gain: Mapped[int]
    migrated_at: Mapped[int]
    """How many entries it had when a parent last came from its neighbour."""
    restarts: Mapped[int]
    since_entry: Mapped[int]
    """Its elites are of entries with greater ids: the archive's newest when it was last begun anew."""


class DrawRow(Immutable, Base):
    """`kernelwright.rl.archive.protocol.Draw`, stored before its kernel is asked for."""

    __tablename__ = "archive_draws"
    __table_args__ = (
        UniqueConstraint("run_id", "number", "archive_id"),
        CheckConstraint("number >= 1 AND island >= 0", name="place_in_range"),
        Index(None, "archive_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    archive_id: Mapped[str] = mapped_column(ForeignKey("archives.id"))
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"))
    number: Mapped[int]
    island: Mapped[int]
    operator: Mapped[str] = mapped_column(String(16))
    author: Mapped[str]
    notes: Mapped[list[Any]]
    created: Mapped[datetime]


class DrawParentRow(Immutable, Base):
    """A parent of a draw; the first has position 0."""

    __tablename__ = "archive_draw_parents"

    draw_id: Mapped[int] = mapped_column(ForeignKey("archive_draws.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    entry_id: Mapped[int] = mapped_column(ForeignKey("archive_entries.id"), index=True)
