"""The store's part for looking at single things: one attempt, a kernel and what was found out about it. Columns, not whole rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from kernelwright.agents.models.calls import Call
from kernelwright.agents.protocols import Advice
from kernelwright.bench_tasks.task import NumericPolicy, Task, Workload
from kernelwright.db import rows
from kernelwright.db.calls import call_of
from kernelwright.db.lookup import Kind, resolve
from kernelwright.db.models import (
    AttemptRow,
    DeviceRow,
    EvaluationRow,
    KernelParentRow,
    KernelRow,
    ModelCallRow,
    RunRow,
    TaskRow,
)
from kernelwright.db.transactions import Transactions
from kernelwright.errors import NotFoundError
from kernelwright.rl.run import Attempt, RunStatus
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation, TimingKind, Verdict

__all__ = ["Judgement", "KernelLook", "LookStore", "Maker", "RunHead", "StoredAttempt", "StoredEvaluation"]


@dataclass(frozen=True)
class RunHead:
    """A run without its task's source and its settings."""

    id: str
    task_id: str
    task_name: str
    strategy: str
    coder: str
    judge: str
    device: str
    gpu: str
    rounds: int
    status: RunStatus
    created: datetime


@dataclass(frozen=True)
class StoredAttempt:
    """An attempt with the ids that it is stored under."""

    attempt: Attempt
    evaluation_id: str


@dataclass(frozen=True)
class StoredEvaluation:
    """An evaluation with its id and when it was stored."""

    id: str
    evaluation: Evaluation
    created: datetime


@dataclass(frozen=True)
class Judgement:
    """An evaluation in a line; times in seconds, None where nothing was timed."""

    evaluation_id: str
    task_id: str
    task_name: str
    verdict: Verdict
    reason: str
    device: str
    gpu: str
    timing_kind: TimingKind | None
    seconds: float | None
    seconds_low: float | None
    seconds_high: float | None
    baseline: str
    baseline_seconds: float | None
    speedup: float | None
    created: datetime


@dataclass(frozen=True)
class Maker:
    """An attempt that made a kernel."""

    run_id: str
    number: int
    task_name: str
    plan: str
    created: datetime


@dataclass(frozen=True)
class KernelLook:
    """A kernel as it was first seen, with its neighbours: newest first, at most as many as were asked for."""

    kernel: Kernel
    created: datetime
    known_parents: frozenset[str]
    """Those of its parents that are stored."""
    children: tuple[str, ...]
    makers: tuple[Maker, ...]
    judgements: tuple[Judgement, ...]


class LookStore(Transactions):
    """Nouns out, a few columns of them."""

    def run_head(self, run_id: str) -> RunHead:
        """The run with this id, or the only one whose id begins so.

        Raises:
            NotFoundError: there is none, or several.
        """
        run = RunRow
        columns = (
            run.id, run.task_id, run.task_name, run.strategy, run.coder, run.judge, run.device, run.gpu, run.rounds,
            run.status, run.created,
        )  # fmt: skip
        with self._reading() as session:
            found = session.execute(select(*columns).where(run.id == resolve(session, run_id, Kind.RUN))).one()
        return RunHead(
            id=found.id,
            task_id=found.task_id,
            task_name=found.task_name,
            strategy=found.strategy,
            coder=found.coder,
            judge=found.judge,
            device=found.device,
            gpu=found.gpu,
            rounds=found.rounds,
            status=RunStatus(found.status),
            created=found.created,
        )

    def stored_attempt(self, run_id: str, number: int) -> StoredAttempt:
        """One attempt of the run with exactly this id.

        Raises:
            NotFoundError: there is none.
        """
        query = (
            select(AttemptRow)
            .options(joinedload(AttemptRow.kernel), joinedload(AttemptRow.evaluation))
            .where(AttemptRow.run_id == run_id, AttemptRow.number == number)
        )
        with self._reading() as session:
            row = session.scalar(query)
            if row is None:
                raise NotFoundError(f"Run {run_id} has no attempt {number}.", mend="Its page lists those there are.")
            return StoredAttempt(rows.attempt_of(row), row.evaluation_id)

    def advice_on(self, run_id: str, number: int) -> Advice | None:
        """What the judge said after an attempt of the run with exactly this id."""
        query = select(AttemptRow.advice).where(AttemptRow.run_id == run_id, AttemptRow.number == number)
        with self._reading() as session:
            found = session.scalar(query)
            return None if found is None else Advice.model_validate(found)

    def calls_of(self, run_id: str, number: int) -> list[Call]:
        """The calls of models that an attempt paid for, failed ones included, oldest first."""
        call = ModelCallRow
        query = select(call).where(call.run_id == run_id, call.attempt == number).order_by(call.id)
        with self._reading() as session:
            return [call_of(row) for row in session.scalars(query)]

    def sources(self, kernel_ids: Sequence[str]) -> dict[str, str]:
        """Sources of those kernels with exactly these ids that are stored."""
        query = select(KernelRow.id, KernelRow.source).where(KernelRow.id.in_(kernel_ids))
        with self._reading() as session:
            return {row.id: row.source for row in session.execute(query)}

    def task_without_files(self, task_id: str) -> Task:
        """The task with exactly this id, without what its source reads: its own `id` is another one if it has files.

        Raises:
            NotFoundError: there is none.
        """
        task = TaskRow
        columns = (task.name, task.source, task.path, task.format, task.workloads, task.policy)
        with self._reading() as session:
            found = session.execute(select(*columns).where(task.id == task_id)).one_or_none()
        if found is None:
            raise NotFoundError(f"There is no task with the id {task_id!r}.", mend="Check the id.")
        policy = dict(found.policy)
        backward = bool(policy.pop("backward", False))
        workloads = tuple(Workload.from_json(each) for each in found.workloads)
        return Task(
            found.name, found.source, found.path, found.format, workloads, NumericPolicy(**policy), backward=backward
        )

    def settings_of(self, evaluation_id: str) -> dict[str, Any]:
        """Settings of a run in which the evaluation with exactly this id was made; empty if there is none."""
        query = select(RunRow.settings).join(AttemptRow, AttemptRow.run_id == RunRow.id)
        with self._reading() as session:
            found = session.scalar(query.where(AttemptRow.evaluation_id == evaluation_id).limit(1))
            return dict(found or {})

    def stored_evaluation(self, evaluation_id: str) -> StoredEvaluation:
        """The evaluation with this id or the only one whose id begins so.

        Raises:
            NotFoundError: there is none, or several.
        """
        with self._reading() as session:
            row = session.get_one(EvaluationRow, resolve(session, evaluation_id, Kind.EVALUATION))
            return StoredEvaluation(row.id, rows.evaluation_of(row), row.created)

    def kernel_look(self, kernel_id: str, limit: int = 50) -> KernelLook:
        """The kernel with this id or the only one whose id begins so, with its neighbours.

        Raises:
            NotFoundError: there is none, or several.
        """
        with self._reading() as session:
            row = session.get_one(KernelRow, resolve(session, kernel_id, Kind.KERNEL))
            kernel = rows.kernel_of(row)
            known = session.scalars(select(KernelRow.id).where(KernelRow.id.in_(kernel.parents)))
            child = KernelParentRow.kernel_id
            children = session.scalars(
                select(child).where(KernelParentRow.parent_id == row.id).order_by(child).distinct().limit(limit)
            )
            return KernelLook(
                kernel=replace(kernel, path=None),
                created=row.created,
                known_parents=frozenset(known),
                children=tuple(children),
                makers=tuple(_makers(session, row.id, limit)),
                judgements=tuple(_judgements(session, row.id, limit)),
            )


def _makers(session: Session, kernel_id: str, limit: int) -> list[Maker]:
    attempt = AttemptRow
    query = (
        select(attempt.run_id, attempt.number, RunRow.task_name, attempt.plan, attempt.created)
        .join(RunRow, RunRow.id == attempt.run_id)
        .where(attempt.kernel_id == kernel_id)
        .order_by(attempt.id.desc())
        .limit(limit)
    )
    return [Maker(*row) for row in session.execute(query)]


def _judgements(session: Session, kernel_id: str, limit: int) -> list[Judgement]:
    evaluation = EvaluationRow
    query = (
        select(
            evaluation.id, evaluation.task_id, TaskRow.name, evaluation.verdict, evaluation.reason,
            evaluation.timing_kind, evaluation.gpu, evaluation.seconds, evaluation.baseline_seconds, evaluation.speedup,
            evaluation.timing["seconds_low"].as_float().label("low"),
            evaluation.timing["seconds_high"].as_float().label("high"),
            evaluation.timing["baseline"].as_string().label("baseline"),
            evaluation.created, evaluation.device_id,
        )
        .join(TaskRow, TaskRow.id == evaluation.task_id)
        .where(evaluation.kernel_id == kernel_id)
        .order_by(evaluation.created.desc(), evaluation.id)
        .limit(limit)
    )  # fmt: skip
    found = session.execute(query).all()
    named = select(DeviceRow.id, DeviceRow.name).where(DeviceRow.id.in_({row.device_id for row in found}))
    devices = {row.id: row.name for row in session.execute(named)}
    return [
        Judgement(
            evaluation_id=row.id,
            task_id=row.task_id,
            task_name=row.name,
            verdict=Verdict(row.verdict),
            reason=row.reason,
            device=devices.get(row.device_id, ""),
            gpu=row.gpu,
            timing_kind=None if row.timing_kind is None else TimingKind(row.timing_kind),
            seconds=row.seconds,
            seconds_low=row.low,
            seconds_high=row.high,
            baseline=row.baseline or "",
            baseline_seconds=row.baseline_seconds,
            speedup=row.speedup,
            created=row.created,
        )
        for row in found
    ]
