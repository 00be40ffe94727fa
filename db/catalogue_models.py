"""Tables that kernels are found by (see `kernelwright.db.catalogue`). All of it could be made anew from the other tables."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from kernelwright.db.models import Base

__all__ = ["CatalogueRow", "TaskTraitsRow"]


class TaskTraitsRow(Base):
    """What a task's source says without being run (`bench_tasks.traits`), each part with a blank between its items."""

    __tablename__ = "task_traits"

    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id"), primary_key=True)
    operations: Mapped[str]
    dtypes: Mapped[str]
    shapes: Mapped[str]
    """`4096x1024 1024`."""
    terms: Mapped[str]
    """What its kernels can be found by because of the task."""


class CatalogueRow(Base):
    """A kernel on a task for a GPU with one kind of time: its best evaluation, and what it can be found by. Times in seconds.

    The best evaluation is the fastest that passed, or else the newest. `verdict` is its verdict, unless an evaluation
    found out that the kernel cheats or is unsafe (on any task) or is wrong (on this one): then that. `score` is what lists are
    sorted by: the speed-up, 0 where `verdict` is not passed. Ids rise in the order in which kernels were first judged.
    """

    __tablename__ = "catalogue"
    __table_args__ = (
        UniqueConstraint("kernel_id", "task_id", "gpu", "timing_kind"),
        CheckConstraint("timing_kind IN ('measured', 'modelled')", name="timing_kind_known"),
        CheckConstraint("(seconds IS NULL) = (baseline_seconds IS NULL)", name="times_together"),
        CheckConstraint("verdict <> 'passed' OR seconds > 0", name="passed_is_timed"),
        # everything that a list is chosen by, so that going along it touches no rows
        Index("ix_catalogue_order", "timing_kind", "score", "id", "gpu", "arch", "verdict", "author", "task_id"),
        Index("ix_catalogue_gpu", "timing_kind", "gpu", "score", "id"),
        Index("ix_catalogue_verdict", "timing_kind", "verdict", "score", "id"),
        Index("ix_catalogue_task", "task_id", "timing_kind", "gpu", "score", "id"),
        Index("ix_catalogue_new", "timing_kind", "id"),
        Index("ix_catalogue_records", "task_id", "verdict", "timing_kind", "gpu", "created", "id", "seconds"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kernel_id: Mapped[str] = mapped_column(ForeignKey("kernels.id"))
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id"))
    gpu: Mapped[str]
    timing_kind: Mapped[str] = mapped_column(String(16))
    evaluation_id: Mapped[str] = mapped_column(ForeignKey("evaluations.id"))
    arch: Mapped[str] = mapped_column(String(16))
    verdict: Mapped[str] = mapped_column(String(16))
    seconds: Mapped[float | None]
    baseline_seconds: Mapped[float | None]
    speedup_low: Mapped[float | None]
    speedup_high: Mapped[float | None]
    score: Mapped[float]
    author: Mapped[str]
    techniques: Mapped[str]
    """With a blank between them."""
    evaluations: Mapped[int]
    """How many there are."""
    created: Mapped[datetime]
    """When the best evaluation was stored."""
    terms: Mapped[str]
    """All terms that it is found by, with a blank between them."""
