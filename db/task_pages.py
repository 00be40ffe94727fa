"""Tasks in short, with the best that there is for them, and how the best came about. All of it from the catalogue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, or_, select, tuple_, union_all
from sqlalchemy.orm import Session

from kernelwright.bench_tasks.task import NumericPolicy, Workload
from kernelwright.db.catalogue_models import CatalogueRow, TaskTraitsRow
from kernelwright.db.models import BaselineRow, TaskAttachmentRow, TaskRow
from kernelwright.db.search_terms import asked_words
from kernelwright.errors import MisuseError
from kernelwright.verifier.evaluation import TimingKind, Verdict

__all__ = [
    "TaskBaseline",
    "TaskBest",
    "TaskLine",
    "TaskLines",
    "TaskOverview",
    "TaskRecord",
    "TaskTop",
    "task_dtypes",
    "task_lines",
    "task_overview",
    "task_records",
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
class TaskBaseline:
    """What the task's own module takes on a device, the newest of its name there. Times in seconds."""

    name: str
    kind: TimingKind
    gpu: str
    seconds: float
    seconds_low: float
    seconds_high: float
    interval_source: str
    created: datetime


@dataclass(frozen=True)
class TaskOverview:
    """A task, and what there is for it."""

    line: TaskLine
    path: str | None
    source: str
    workloads: tuple[Workload, ...]
    policy: NumericPolicy
    backward: bool
    attachments: Mapping[str, int]
    """Bytes by name."""
    tops: tuple[TaskTop, ...]
    baselines: tuple[TaskBaseline, ...]


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


def task_lines(session: Session, words: str, after: str, limit: int) -> TaskLines:
    """A page of the list."""
    traits = TaskTraitsRow
    query = (
        select(TaskRow.id, TaskRow.name, TaskRow.format, TaskRow.created, traits.operations, traits.dtypes, traits.shapes)
        .join(traits, traits.task_id == TaskRow.id)
        .order_by(TaskRow.created.desc(), TaskRow.id.desc())
        .limit(limit + 1)
    )  # fmt: skip
    for word in asked_words(words)[:8]:  # a word is letters and digits: nothing that LIKE reads otherwise
        query = query.where(or_(traits.terms.like(f"% {word}%"), traits.terms.like(f"{word}%")))
    if after:
        query = query.where(tuple_(TaskRow.created, TaskRow.id) < tuple_(*_place(after)))
    rows = session.execute(query).all()
    bests = _bests(session, [row.id for row in rows[:limit]])
    lines = [_line(row, bests.get(row.id, [])) for row in rows[:limit]]
    last = (
        f"{lines[-1].created.astimezone(UTC).replace(tzinfo=None).isoformat()}~{lines[-1].id}"
        if len(rows) > limit
        else ""
    )
    return TaskLines(lines, last)


def _line(row: Any, bests: Iterable[TaskBest]) -> TaskLine:
    operations, dtypes, shapes = (tuple(part.split()) for part in (row.operations, row.dtypes, row.shapes))
    return TaskLine(row.id, row.name, row.format, row.created, operations, dtypes, shapes, tuple(bests))


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


def task_tops(session: Session, task_id: str, limit: int, bests: Sequence[TaskBest]) -> list[TaskTop]:
    """For each kind of time and GPU at most `limit`, the fastest first."""
    row = CatalogueRow
    parts = [
        select(row.id)
        .where(row.task_id == task_id, row.timing_kind == best.kind.value, row.gpu == best.gpu, row.score > 0)
        .order_by(row.score.desc(), row.id.desc())
        .limit(limit)
        .subquery()
        for best in bests
    ]
    if not parts:
        return []
    query = (
        select(
            row.gpu, row.timing_kind, row.kernel_id, row.evaluation_id, row.author, row.seconds, row.baseline_seconds, row.score,
            row.speedup_low, row.speedup_high, row.techniques, row.created,
        )
        .where(row.id.in_(session.scalars(union_all(*(select(part.c.id) for part in parts))).all()))
        .order_by(row.timing_kind, row.gpu, row.score.desc(), row.id.desc())
    )  # fmt: skip
    found: list[TaskTop] = []
    places = Counter[tuple[str, str]]()
    for each in session.execute(query):
        given: dict[str, Any] = dict(each._mapping)
        kind, techniques, speedup = given.pop("timing_kind"), given.pop("techniques"), given.pop("score")
        places[each.gpu, kind] += 1
        found.append(
            TaskTop(
                **given,
                kind=TimingKind(kind),
                place=places[each.gpu, kind],
                speedup=speedup,
                techniques=tuple(techniques.split()),
            )
        )
    return found


def task_overview(session: Session, task_id: str, tops: int) -> TaskOverview | None:
    """The task with exactly this id; None when there is none."""
    row, traits = TaskRow, TaskTraitsRow
    found = session.execute(
        select(row.id, row.name, row.format, row.created, traits.operations, traits.dtypes, traits.shapes, row.path, row.source,
               row.workloads, row.policy)
        .join(traits, traits.task_id == row.id)
        .where(row.id == task_id)
    ).first()  # fmt: skip
    if found is None:
        return None
    bests = tuple(_bests(session, [task_id]).get(task_id, ()))
    file = TaskAttachmentRow
    files = session.execute(
        select(file.name, func.length(file.data)).where(file.task_id == task_id).order_by(file.name)
    )
    given = BaselineRow
    baselines = session.execute(
        select(given.name, given.timing_kind, given.gpu, given.seconds, given.seconds_low, given.seconds_high,
               given.interval_source, given.created, given.device_id)
        .where(given.task_id == task_id)
        .order_by(given.id)
    )  # fmt: skip
    newest = {(each.name, each.device_id): _baseline(each) for each in baselines}
    policy = dict(found.policy)
    backward = bool(policy.pop("backward", False))
    return TaskOverview(
        _line(found, bests),
        found.path,
        found.source,
        tuple(Workload.from_json(each) for each in found.workloads),
        NumericPolicy(**policy),
        backward,
        {row[0]: row[1] for row in files},
        tuple(task_tops(session, task_id, tops, bests)),
        tuple(newest.values()),
    )


def _baseline(row: Any) -> TaskBaseline:
    return TaskBaseline(
        row.name, TimingKind(row.timing_kind), row.gpu, row.seconds, row.seconds_low, row.seconds_high, row.interval_source,
        row.created,
    )  # fmt: skip


def task_records(session: Session, task_id: str) -> list[TaskRecord]:
    """Of kernels that passed and that nothing is known against."""
    row = CatalogueRow
    before = func.min(row.seconds).over(
        partition_by=(row.timing_kind, row.gpu), order_by=(row.created, row.id), rows=(None, -1)
    )
    timed = (  # all of it is in one index, in this order
        select(row.id, row.seconds, before.label("before"))
        .where(row.task_id == task_id, row.verdict == Verdict.PASSED.value)
        .subquery()
    )
    broken = select(timed.c.id).where(or_(timed.c.before.is_(None), timed.c.seconds < timed.c.before))
    ids = session.scalars(broken).all()  # few: asked for together, PostgreSQL would read all of the table
    query = (
        select(row.gpu, row.timing_kind, row.created, row.seconds, row.baseline_seconds, row.kernel_id, row.evaluation_id, row.author)
        .where(row.id.in_(ids))
        .order_by(row.timing_kind, row.gpu, row.created, row.id)
    )  # fmt: skip
    found: list[TaskRecord] = []
    for each in session.execute(query):
        given: dict[str, Any] = dict(each._mapping)
        found.append(TaskRecord(kind=TimingKind(given.pop("timing_kind")), **given))
    return found


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
