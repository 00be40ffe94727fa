"""Suites that were run: a BenchRun, and for each task and repeat a BenchItem that says where it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from kernelwright.bench_tasks.suite import Scale
from kernelwright.db.models import AttemptRow, BenchItemRow, BenchRunRow, EvaluationRow
from kernelwright.db.rows import Columns
from kernelwright.errors import NotFoundError
from kernelwright.verifier.evaluation import Timing

__all__ = ["AttemptFigures", "BenchItem", "BenchRun", "BenchStatus", "BenchSummary", "ItemStatus"]


class BenchStatus(StrEnum):
    """Where a run of a suite stands."""

    RUNNING = "running"
    """Somebody works on it, or was killed while doing so: `bench resume` goes on."""
    INTERRUPTED = "interrupted"
    """Stopped by a person, by the budget, or by an error that is no task's; `bench resume` goes on."""
    FINISHED = "finished"
    """Every item has its result."""


class ItemStatus(StrEnum):
    """Where one task and repeat stands."""

    WAITING = "waiting"
    """Not begun."""
    RUNNING = "running"
    """A process works on it, or was killed while doing so."""
    STOPPED = "stopped"
    """Begun and to be gone on with: a person or the budget stopped it, its process died, or a model could not be reached."""
    FINISHED = "finished"
    """Its search ended by itself."""
    FAILED = "failed"
    """It ended without or before that: `problem` says why. What was judged by then counts."""

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return self in {ItemStatus.FINISHED, ItemStatus.FAILED}


@dataclass(frozen=True)
class BenchRun:
    """A suite, or a part of it, run under one setting on one device."""

    id: str
    suite: str
    suite_path: str | None
    digest: str
    """Of the whole suite, as `Suite.digest`."""
    suite_size: int
    """Tasks of the whole suite."""
    scale: Scale
    strategy: str
    coder: str
    judge: str
    rounds: int
    repeats: int
    device: str
    """`emulator` or `cuda`."""
    gpu: str
    status: BenchStatus
    created: datetime
    """UTC."""
    message: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else is needed to go on with it."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Where it was begun: versions, device, isolation, commit."""


@dataclass(frozen=True)
class BenchItem:
    """One task and repeat of a BenchRun."""

    bench_run_id: str
    position: int
    """0-based; items are begun in this order."""
    name: str
    """Of the task in its suite."""
    repeat: int
    """0-based."""
    task_id: str
    """Of the task at the scale of the run."""
    task_name: str
    task_path: str | None
    status: ItemStatus = ItemStatus.WAITING
    run_id: str | None = None
    """Chosen when it is begun; a run of this id is there once its search has begun."""
    problem: str = ""
    """Why it failed or was stopped; one or two sentences."""
    starts: int = 0
    """How often a process began or went on with it."""
    seconds: float = 0.0
    """Wall time that processes worked on it, as far as they ended in an orderly way."""


@dataclass(frozen=True)
class BenchSummary:
    """A BenchRun in one line."""

    run: BenchRun
    items: int
    ended: int


@dataclass(frozen=True)
class AttemptFigures:
    """What scoring needs of a stored attempt."""

    run_id: str
    number: int
    verdict: str
    seconds: float
    """Wall time of the attempt."""
    timing: Timing | None
    kernel_id: str
    evaluation_id: str
    created: datetime
    """When it ended."""


def bench_columns(run: BenchRun, updated: datetime) -> Columns:
    """The row of a run of a suite."""
    same = (
        "id", "suite", "suite_path", "digest", "suite_size", "strategy", "coder", "judge", "rounds", "repeats", "device",
        "gpu", "message", "created",
    )  # fmt: skip
    return {name: getattr(run, name) for name in same} | {
        "scale": run.scale.value,
        "status": run.status.value,
        "settings": dict(run.settings),
        "environment": dict(run.environment),
        "updated": updated,
    }


def bench_of(row: BenchRunRow) -> BenchRun:
    """The run of a suite."""
    return BenchRun(
        row.id, row.suite, row.suite_path, row.digest, row.suite_size, Scale(row.scale), row.strategy, row.coder, row.judge,
        row.rounds, row.repeats, row.device, row.gpu, BenchStatus(row.status), row.created, row.message, row.settings,
        row.environment,
    )  # fmt: skip


def item_columns(item: BenchItem, updated: datetime) -> Columns:
    """The row of an item."""
    return {name: getattr(item, name) for name in BenchItem.__dataclass_fields__} | {
        "status": item.status.value,
        "updated": updated,
    }


def item_of(row: BenchItemRow) -> BenchItem:
    """The item of a row."""
    given = {name: getattr(row, name) for name in BenchItem.__dataclass_fields__}
    return BenchItem(**given | {"status": ItemStatus(row.status)})


def item_row(session: Session, bench_run_id: str, position: int) -> BenchItemRow:
    """The row, locked until the transaction ends.

    Raises:
        NotFoundError: there is none.
    """
    row = session.get(BenchItemRow, (bench_run_id, position), with_for_update=True)
    if row is None:
        raise NotFoundError(f"Bench run {bench_run_id} has no item {position}.")
    return row


def bench_summaries(session: Session, limit: int) -> list[BenchSummary]:
    """The newest first, in two queries."""
    runs = session.scalars(select(BenchRunRow).order_by(BenchRunRow.created.desc(), BenchRunRow.id).limit(limit)).all()
    counted = session.execute(
        select(BenchItemRow.bench_run_id, BenchItemRow.status, func.count())
        .where(BenchItemRow.bench_run_id.in_([run.id for run in runs]))
        .group_by(BenchItemRow.bench_run_id, BenchItemRow.status)
    ).all()
    found = []
    for run in runs:
        mine = [(ItemStatus(status), count) for run_id, status, count in counted if run_id == run.id]
        ended = sum(count for status, count in mine if status.ended)
        found.append(BenchSummary(bench_of(run), sum(count for _, count in mine), ended))
    return found


def attempt_figures(session: Session, run_ids: Sequence[str]) -> list[AttemptFigures]:
    """Of the attempts of these runs, by run and number; the evaluations' stages and profiles stay in the database."""
    query = (
        select(
            AttemptRow.run_id, AttemptRow.number, EvaluationRow.verdict, AttemptRow.seconds, EvaluationRow.timing,
            AttemptRow.kernel_id, AttemptRow.evaluation_id, AttemptRow.created,
        )
        .join(AttemptRow.evaluation)
        .where(AttemptRow.run_id.in_(run_ids))
        .order_by(AttemptRow.run_id, AttemptRow.number)
    )  # fmt: skip
    return [
        AttemptFigures(
            run, number, verdict, seconds, timing and Timing.model_validate(timing), kernel, evaluation, created
        )
        for run, number, verdict, seconds, timing, kernel, evaluation, created in session.execute(query)
    ]
