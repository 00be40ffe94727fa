"""Tasks in short, with the best that there is for them, and how the best came about. All of it from the catalogue."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, or_, select, tuple_
from sqlalchemy.orm import Session

from kernelwright.db.catalogue_models import CatalogueRow, TaskTraitsRow
from kernelwright.db.models import TaskRow
from kernelwright.db.search_terms import asked_words
from kernelwright.errors import MisuseError
from kernelwright.verifier.evaluation import TimingKind, Verdict

__all__ = [
    "TaskBest",
    "TaskLine",
    "TaskLines",
    "TaskRecord",
    "TaskTop",
    "task_dtypes",
    "task_lines",
    "task_records",
    "task_tops",
]


@dataclass(frozen=True)
class TaskBest:
    """What there is for a task on one GPU with one kind of time."""

    gpu: str
    kind: TimingKind
    kernels: int
    speedup: float | None
    """The largest of a kernel that passed; None where none did."""


@dataclass(frozen=True)
class TaskLine:
    """A task in short, under the name first seen."""

    id: str
    name: str
    format: str
    created: datetime
    operations: tuple[str, ...]
    dtypes: tuple[str, ...]
    shapes: tuple[str, ...]
    bests: tuple[TaskBest, ...]
    """Measured before modelled, then by GPU."""


@dataclass(frozen=True)
class TaskLines:
    """A page of the list of tasks."""

    tasks: list[TaskLine]
    after: str
    """Where the next page begins; empty when this is the last."""

    @property
    def first(self) -> TaskLine | None:
        """The first of them."""
        return self.tasks[0] if self.tasks else None


@dataclass(frozen=True)
class TaskTop:
    """A kernel of a task that passed. Times in seconds."""

    gpu: str
    kind: TimingKind
    place: int
    """From 1, among those for this GPU with this kind of time."""
    kernel_id: str
    evaluation_id: str
    author: str
    seconds: float
    baseline_seconds: float
    speedup: float
    speedup_low: float | None
    speedup_high: float | None
    techniques: tuple[str, ...]
    created: datetime


@dataclass(frozen=True)
class TaskRecord:
    """A kernel that was faster than all before it. Times in seconds."""

    gpu: str
    kind: TimingKind
    created: datetime
    """When its fastest evaluation was stored."""
    seconds: float
    baseline_seconds: float
    kernel_id: str
    evaluation_id: str
    author: str


def task_lines(session: Session, words: str, after: str, limit: int, *, task_id: str | None = None) -> TaskLines:
    """A page of the list; or the one task with exactly this id."""
    traits = TaskTraitsRow
    query = (
        select(TaskRow.id, TaskRow.name, TaskRow.format, TaskRow.created, traits.operations, traits.dtypes, traits.shapes)
        .join(traits, traits.task_id == TaskRow.id)
        .order_by(TaskRow.created.desc(), TaskRow.id.desc())
        .limit(limit + 1)
    )  # fmt: skip
    for word in asked_words(words)[:8]:  # a word is letters and digits: nothing that LIKE reads otherwise
        query = query.where(or_(traits.terms.like(f"% {word}%"), traits.terms.like(f"{word}%")))
    if task_id is not None:
        query = query.where(TaskRow.id == task_id)
    if after:
        query = query.where(tuple_(TaskRow.created, TaskRow.id) < tuple_(*_place(after)))
    rows = session.execute(query).all()
    bests = _bests(session, [row.id for row in rows[:limit]])
    lines = [
        TaskLine(
            row.id, row.name, row.format, row.created, *(tuple(part.split()) for part in row[4:7]),
            tuple(bests.get(row.id, ())),
        )
        for row in rows[:limit]
    ]  # fmt: skip
    last = (
        f"{lines[-1].created.astimezone(UTC).replace(tzinfo=None).isoformat()}~{lines[-1].id}"
        if len(rows) > limit
        else ""
    )
    return TaskLines(lines, last)


def _bests(session: Session, task_ids: list[str]) -> dict[str, list[TaskBest]]:
    row = CatalogueRow
    query = (
        select(row.task_id, row.timing_kind, row.gpu, func.count().label("kernels"), func.max(row.score).label("score"))
        .where(row.task_id.in_(task_ids))
        .group_by(row.task_id, row.timing_kind, row.gpu)
        .order_by(row.task_id, row.timing_kind, row.gpu)
    )
    found: dict[str, list[TaskBest]] = {}
    for each in session.execute(query):
        best = TaskBest(each.gpu, TimingKind(each.timing_kind), each.kernels, each.score or None)
        found.setdefault(each.task_id, []).append(best)
    return found


def task_tops(session: Session, task_id: str, limit: int) -> list[TaskTop]:
    """For each kind of time and GPU at most `limit`, the fastest first."""
    row = CatalogueRow
    place = func.row_number().over(partition_by=(row.timing_kind, row.gpu), order_by=(row.score.desc(), row.id.desc()))
    ranked = select(row.id, place.label("place")).where(row.task_id == task_id, row.score > 0).subquery()
    query = (
        select(
            row.gpu, row.timing_kind, ranked.c.place, row.kernel_id, row.evaluation_id, row.author, row.seconds,
            row.baseline_seconds, row.score, row.speedup_low, row.speedup_high, row.techniques, row.created,
        )
        .join(ranked, ranked.c.id == row.id)
        .where(ranked.c.place <= limit)
        .order_by(row.timing_kind, row.gpu, ranked.c.place)
    )  # fmt: skip
    return [
        TaskTop(gpu, TimingKind(kind), *rest, techniques=tuple(techniques.split()), created=created)
        for gpu, kind, *rest, techniques, created in session.execute(query)
    ]


def task_records(session: Session, task_id: str) -> list[TaskRecord]:
    """Of kernels that passed and that nothing is known against."""
    row = CatalogueRow
    before = func.min(row.seconds).over(
        partition_by=(row.timing_kind, row.gpu), order_by=(row.created, row.id), rows=(None, -1)
    )
    timed = (
        select(row.id, row.seconds, before.label("before"))
        .where(row.task_id == task_id, row.verdict == Verdict.PASSED.value)
        .subquery()
    )
    query = (
        select(row.gpu, row.timing_kind, row.created, row.seconds, row.baseline_seconds, row.kernel_id, row.evaluation_id, row.author)
        .join(timed, timed.c.id == row.id)
        .where(or_(timed.c.before.is_(None), timed.c.seconds < timed.c.before))
        .order_by(row.timing_kind, row.gpu, row.created, row.id)
    )  # fmt: skip
    return [TaskRecord(gpu, TimingKind(kind), *rest) for gpu, kind, *rest in session.execute(query)]


def task_dtypes(session: Session, task_ids: Collection[str]) -> dict[str, list[str]]:
    """The dtypes that their sources name."""
    query = select(TaskTraitsRow.task_id, TaskTraitsRow.dtypes).where(TaskTraitsRow.task_id.in_(sorted(set(task_ids))))
    return {row[0]: row[1].split() for row in session.execute(query)}


def _place(after: str) -> tuple[datetime, str]:
    moment, _, task_id = after.partition("~")
    try:
        if len(task_id) > 16:
            raise ValueError
        return datetime.fromisoformat(moment).replace(tzinfo=UTC), task_id
    except ValueError:
        raise MisuseError(f"There is no page {after[:40]!r} of this list.", mend="Begin at its first page.") from None
