"""The store: every task, kernel, evaluation, run and attempt, failures included, as the rest of the code sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import Select, func, insert, select
from sqlalchemy.orm import Session, joinedload

from kernelwright.agents.models.calls import Call
from kernelwright.agents.models.protocol import Place, Reply
from kernelwright.agents.ranking import fastest
from kernelwright.bench_tasks.task import Task
from kernelwright.db import rows
from kernelwright.db.access_store import AccessStore
from kernelwright.db.archive import DatabaseArchive, archive_row
from kernelwright.db.archive_view import ArchiveView, archive_views
from kernelwright.db.browse import BrowseStore
from kernelwright.db.calls import answer_query, call_columns, call_of, reply_of
from kernelwright.db.catalogue import catalogue_evaluation
from kernelwright.db.costs import Costs, costs
from kernelwright.db.harvest import Flags, JudgedRow, flags, judged, reasonings, tallies
from kernelwright.db.health import HealthStore
from kernelwright.db.live import LiveStore
from kernelwright.db.look import LookStore
from kernelwright.db.lookup import NOUNS, Found, Kind, find, resolve
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
from kernelwright.db.similar import Winner, winners_about, winners_like
from kernelwright.db.submissions import SubmissionStore
from kernelwright.db.summary import Figures, RunSummary, summaries
from kernelwright.db.transactions import insert_once
from kernelwright.db.types import dump_json
from kernelwright.db.variants import variants_of
from kernelwright.errors import NotFoundError, StoreError
from kernelwright.rl.archive.islands import ArchiveSettings
from kernelwright.rl.contrastive.exemplars import Variant
from kernelwright.rl.run import Attempt, Run, RunStatus
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation, TimingKind, Verdict
from kernelwright.verifier.model.gpus import find_gpu

__all__ = ["MeasuredRow", "RunSummary", "Store", "StoredTask", "Winner"]


@dataclass(frozen=True)
class MeasuredRow:
    """An evaluation with a measured time, and when it was stored."""

    evaluation: Evaluation
    created: datetime


@dataclass(frozen=True)
class StoredTask:
    """A task in short, under the name first seen."""

    id: str
    name: str
    source: str


class Store(SubmissionStore, LiveStore, LookStore, BrowseStore, AccessStore, HealthStore):
    """Nouns in, nouns out; implements `kernelwright.rl.run.RunStore` and
    `kernelwright.agents.models.calls.CallStore`.

    Every call is one transaction. What is stored is never changed: attempts, evaluations, kernels and tasks are
    append-only, and a run only changes its status. Use it as a context manager, or call `close`.

    Args:
        place: a path (SQLite), `:memory:`, or a SQLAlchemy URL. It is opened, and made or migrated as needed.
        clock: gives the time of rows whose noun carries none; aware.
        busy_seconds: how long to wait for another writer.

    Raises:
        StoreError: it can't be opened, read or written; every method can raise it too.
    """

    @cached_property
    def _figures(self) -> Figures:
        """Figures of runs that were asked for before."""
        return {}

    @property
    def checkpoints(self) -> Path | None:
        """Where checkpoints of attempts in progress belong: a file beside the database, None when it is no file."""
        return None if self.file is None else self.file.with_name(f"{self.file.stem}.checkpoints.db")

    # -- writing ------------------------------------------------------------------------------------------------

    def create_run(self, run: Run) -> None:
        """Stores a new run and its task.

        Raises:
            StoreError: there is a run with this id.
        """
        with self._writing() as session:
            if session.get(RunRow, run.id) is not None:
                raise StoreError(f"There already is a run {run.id}.", mend="Go on with it, or start one with a new id.")
            self._add_task(session, run.task)
            session.execute(insert(RunRow).values(rows.run_columns(run, self._clock())))

    def set_status(self, run_id: str, status: RunStatus, message: str = "") -> None:
        """Moves a run to another status.

        Raises:
            NotFoundError: no run has exactly this id.
        """
        with self._writing() as session:
            row = _run_row(session, run_id)
            row.status, row.message, row.updated = status.value, message, self._clock()

    def set_archive_licence(self, run_id: str, licence: str) -> None:
        """Notes the licence of a run's kernels, which an archive had (`settings["archive"]`).

        Raises:
            NotFoundError: no run has exactly this id.
            StoreError: the run is of no archive, or has another licence.
        """
        with self._writing() as session:
            row = _run_row(session, run_id)
            about = row.settings.get("archive")
            if not isinstance(about, dict) or about.get("licence", "") not in {"", licence}:
                raise StoreError(f"Run {run_id} can't be given the licence {licence!r}: it has {about!r}.")
            row.settings = {**row.settings, "archive": {**about, "licence": licence}}

    def add_attempt(self, attempt: Attempt) -> None:
        """Stores a finished attempt, with its kernel and evaluation, in one transaction.

        Storing an equal attempt again does nothing, so a search that was killed just after storing one may repeat it.

        Raises:
            NotFoundError: no run has exactly this id.
            StoreError: the run has another attempt of this number, or the attempt's parts don't belong together.
        """
        with self._writing() as session:
            run = _run_row(session, attempt.run_id)
            columns = rows.attempt_columns(attempt)
            stored = session.scalar(_attempts_of(attempt.run_id).where(AttemptRow.number == attempt.number))
            if stored is not None:
                if all(_same(getattr(stored, name), value) for name, value in columns.items()):
                    return
                raise StoreError(
                    f"Run {attempt.run_id} already has another attempt {attempt.number}.",
                    mend="Another process may be working on this run: let one of them go on.",
                )
            if attempt.evaluation.task_id != run.task_id:
                raise StoreError(
                    f"Attempt {attempt.number} of run {run.id} was evaluated on task {attempt.evaluation.task_id}, "
                    f"but the run is about {run.task_id}."
                )
            self._add_evaluation(session, attempt.kernel, attempt.evaluation, attempt.plan)
            session.execute(insert(AttemptRow).values(columns))
            run.updated = self._clock()

    def add_call(self, call: Call) -> None:
        """Stores a call of a model; it is on disk when this returns.

        Raises:
            NotFoundError: no run has exactly this id.
            StoreError: the call has a reply, and its place in the run already has one.
        """
        with self._writing() as session:
            _run_row(session, call.run_id)
            if call.reply is not None and session.scalar(answer_query(call.run_id, call.place)) is not None:
                raise StoreError(
                    f"Run {call.run_id} already has a reply at {call.place}.",
                    mend="Another process may be working on this run: let one of them go on.",
                )
            session.execute(insert(ModelCallRow).values(call_columns(call)))

    def add_evaluation(self, task: Task, kernel: Kernel, evaluation: Evaluation) -> str:
        """Stores an evaluation that belongs to no run, with its task and kernel; returns its id.

        Raises:
            StoreError: the evaluation is of another task or kernel.
        """
        if evaluation.task_id != task.id:
            raise StoreError(f"The evaluation is about task {evaluation.task_id}, not {task.id}.")
        with self._writing() as session:
            self._add_task(session, task)
            return self._add_evaluation(session, kernel, evaluation)

    def archive(
        self, task: Task, gpu: str, kind: TimingKind, name: str, settings: ArchiveSettings | None = None
    ) -> DatabaseArchive:
        """The archive of this name for the task, the GPU and the kind of time; it is made if it is not there.

        Args:
            settings: of a new one; one that is there keeps its own.
        """
        with self._writing() as session:
            self._add_task(session, task)
            made_with = settings or ArchiveSettings()
            archive_id = archive_row(session, task.id, gpu, kind, name, made_with, self._clock())
        return DatabaseArchive(archive_id, self._reading, self._writing, self._clock)

    # -- reading ------------------------------------------------------------------------------------------------

    def run(self, run_id: str) -> Run:
        """The run with this id, or the only one whose id begins so.

        Raises:
            NotFoundError: there is none, or several.
        """
        with self._reading() as session:
            return rows.run_of(session.get_one(RunRow, resolve(session, run_id, Kind.RUN)))

    def attempts(self, run_id: str) -> list[Attempt]:
        """Finished attempts in order; a run that is unknown has none."""
        with self._reading() as session:
            return [rows.attempt_of(row) for row in session.scalars(_attempts_of(run_id))]

    def best(self, run_id: str) -> Attempt | None:
        """The fastest attempt that passed, as `agents.ranking.fastest` says; None when none did."""
        with self._reading() as session:
            timed = session.execute(
                select(AttemptRow.number, EvaluationRow.timing_kind, EvaluationRow.seconds)
                .join(AttemptRow.evaluation)
                .where(AttemptRow.run_id == run_id, EvaluationRow.verdict == Verdict.PASSED.value)
                .order_by(AttemptRow.number)
            )
            number = fastest(
                (n, TimingKind(kind), seconds) for n, kind, seconds in timed if kind and seconds is not None
            )
            row = session.scalar(_attempts_of(run_id).where(AttemptRow.number == number))
            return None if row is None else rows.attempt_of(row)

    def runs(self, limit: int = 50, *, task: str | None = None) -> list[RunSummary]:
        """The newest runs first, at most `limit`, of the task with this name or id if one is given."""
        with self._reading() as session:
            return summaries(session, limit, task, self._figures)

    def task(self, task_id: str) -> Task:
        """The task with this id or the only one whose id begins so, under the name first seen.

        Raises:
            NotFoundError: there is none, or several.
        """
        with self._reading() as session:
            return rows.task_of(session.get_one(TaskRow, resolve(session, task_id, Kind.TASK)))

    def tasks(self, limit: int = 1000) -> list[StoredTask]:
        """The newest tasks first, at most `limit`, without what they bring along."""
        with self._reading() as session:
            query = select(TaskRow.id, TaskRow.name, TaskRow.source).order_by(TaskRow.created.desc(), TaskRow.id)
            return [StoredTask(*row) for row in session.execute(query.limit(limit))]

    def kernel(self, kernel_id: str) -> Kernel:
        """The kernel with this id or the only one whose id begins so, with the author and parents first seen.

        Raises:
            NotFoundError: there is none, or several.
        """
        with self._reading() as session:
            return rows.kernel_of(session.get_one(KernelRow, resolve(session, kernel_id, Kind.KERNEL)))

    def evaluation(self, evaluation_id: str) -> Evaluation:
        """The evaluation with this id or the only one whose id begins so.

        Raises:
            NotFoundError: there is none, or several.
        """
        with self._reading() as session:
            return rows.evaluation_of(session.get_one(EvaluationRow, resolve(session, evaluation_id, Kind.EVALUATION)))

    def evaluations_of(self, kernel_id: str) -> list[Evaluation]:
        """Every evaluation of the kernel with exactly this id, oldest first."""
        with self._reading() as session:
            query = (
                select(EvaluationRow)
                .where(EvaluationRow.kernel_id == kernel_id)
                .order_by(EvaluationRow.created, EvaluationRow.id)
            )
            return [rows.evaluation_of(row) for row in session.scalars(query)]

    def variants(self, task_id: str, gpu: str, kind: TimingKind, before: datetime | None = None) -> list[Variant]:
        """Kernels that passed on the task with exactly this id, timed for this GPU in this way, oldest first; with `before`
        only what was stored before that time."""
        with self._reading() as session:
            return variants_of(session, task_id, gpu, kind, before)

    def measured(self) -> list[MeasuredRow]:
        """Every evaluation with a measured time, oldest first."""
        with self._reading() as session:
            query = (
                select(EvaluationRow)
                .where(EvaluationRow.timing_kind == TimingKind.MEASURED.value)
                .order_by(EvaluationRow.created, EvaluationRow.id)
            )
            return [MeasuredRow(rows.evaluation_of(row), row.created) for row in session.scalars(query)]

    def judged(self, after: int = 0, limit: int = 200) -> list[JudgedRow]:
        """Attempts that passed, in the order in which they were stored, at most `limit` behind the row `after`."""
        with self._reading() as session:
            return judged(session, after, limit)

    def reasonings(self, attempts: Sequence[tuple[str, int]]) -> dict[tuple[str, int], tuple[str, Reply]]:
        """For these runs and numbers, where a coder was asked and answered: name of the prompt and the last reply."""
        with self._reading() as session:
            return reasonings(session, attempts)

    def tallies(self) -> dict[str, dict[str, int]]:
        """Attempts by verdict, by id of the task."""
        with self._reading() as session:
            return tallies(session)

    def flags(self) -> Flags:
        """Kernels that were found out in some evaluation or submission."""
        with self._reading() as session:
            return flags(session)

    def answered(self, run_id: str, place: Place) -> Reply | None:
        """The reply that a call at this place of the run had."""
        with self._reading() as session:
            found = session.scalar(answer_query(run_id, place))
            return None if found is None else reply_of(found)

    def calls(self, run_id: str) -> list[Call]:
        """Every call of a run, failed ones included, oldest first."""
        with self._reading() as session:
            query = select(ModelCallRow).where(ModelCallRow.run_id == run_id).order_by(ModelCallRow.id)
            return [call_of(row) for row in session.scalars(query)]

    def best_seconds(self, task_ids: Sequence[str]) -> dict[tuple[str, str, str], float]:
        """The shortest time of a kernel that passed, in seconds, by task, GPU and kind of time."""
        row = EvaluationRow
        query = (
            select(row.task_id, row.gpu, row.timing_kind, func.min(row.seconds))
            .where(row.task_id.in_(sorted(set(task_ids))), row.timing_kind.is_not(None))
            .group_by(row.task_id, row.gpu, row.timing_kind)
        )
        with self._reading() as session:
            found = session.execute(query).all()
        return {(task, gpu, str(kind)): least for task, gpu, kind, least in found if least is not None}

    def spent(self, run_id: str) -> Decimal:
        """Dollars that the calls of a run cost together, exactly."""
        with self._reading() as session:
            texts = session.scalars(select(ModelCallRow.dollars).where(ModelCallRow.run_id == run_id))
            return sum(map(Decimal, texts), Decimal(0))

    def costs(self, run_id: str | None = None) -> Costs:
        """What the calls of the run with exactly this id cost, or those of all runs."""
        with self._reading() as session:
            return costs(session, run_id)

    def similar(self, task: Task | str, gpu: str, limit: int = 5) -> list[Winner]:
        """The fastest kernels that passed on this task, on the same module in other sizes, and on modules with like operations.

        Args:
            task: a task, stored or not; or words that the name or source of stored tasks has.
            gpu: name of the GPU that they are wanted for; those judged for its architecture come first.
            limit: the most; one a task, no kernel twice, the most alike first.

        Raises:
            NotFoundError: no such GPU.
        """
        arch = find_gpu(gpu).arch
        with self._reading() as session:
            if isinstance(task, str):
                return winners_about(session, task, arch, limit)
            return winners_like(session, task, arch, limit)

    def archives(self, limit: int = 50, *, run_id: str | None = None, task_id: str | None = None) -> list[ArchiveView]:
        """The newest archives first, at most `limit`; only those that the run with exactly this id drew from, or of a task."""
        with self._reading() as session:
            return archive_views(session, limit, run_id=run_id, task_id=task_id)

    def archive_problems(self, archive_id: str) -> list[str]:
        """See `DatabaseArchive.problems`."""
        return DatabaseArchive(archive_id, self._reading, self._writing, self._clock).problems()

    def find(self, prefix: str, kinds: tuple[Kind, ...] = NOUNS) -> Found:
        """What the id, or the beginning of one, names.

        Raises:
            NotFoundError: there is nothing, or more than one thing.
        """
        with self._reading() as session:
            return find(session, prefix, kinds)

    # -- inside -------------------------------------------------------------------------------------------------

    def _add_evaluation(self, session: Session, kernel: Kernel, evaluation: Evaluation, plan: str = "") -> str:
        if evaluation.kernel_id != kernel.id:
            raise StoreError(f"The evaluation is about kernel {evaluation.kernel_id}, not {kernel.id}.")
        now = self._clock()
        if insert_once(session, KernelRow, rows.kernel_columns(kernel, now)):
            for position, parent in enumerate(kernel.parents):
                values = {"kernel_id": kernel.id, "position": position, "parent_id": parent}
                session.execute(insert(KernelParentRow).values(values))
        insert_once(session, DeviceRow, rows.device_columns(evaluation.device, now))
        columns = rows.evaluation_columns(evaluation, now)
        if insert_once(session, EvaluationRow, columns):
            catalogue_evaluation(session, columns, kernel.source, evaluation.device, plan)
        return str(columns["id"])


def _run_row(session: Session, run_id: str) -> RunRow:
    row = session.get(RunRow, run_id, with_for_update=True)
    if row is None:
        raise NotFoundError(f"There is no run {run_id}.", mend="`kernelwright runs` lists what is stored.")
    return row


def _attempts_of(run_id: str) -> Select[AttemptRow]:
    return (
        select(AttemptRow)
        .join(AttemptRow.evaluation)
        .options(joinedload(AttemptRow.kernel), joinedload(AttemptRow.evaluation))
        .where(AttemptRow.run_id == run_id)
        .order_by(AttemptRow.number)
    )


def _same(stored: Any, given: Any) -> bool:
    if isinstance(given, dict | list):
        return dump_json(stored) == dump_json(given)  # NaN equals itself as text
    return bool(stored == given)
