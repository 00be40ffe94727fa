"""The store's part about suites that were run, and about baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import insert, select

from kernelwright.bench_tasks.task import Task
from kernelwright.db import rows
from kernelwright.db.baselines import Baseline, baseline_columns, baselines_of
from kernelwright.db.bench import (
    AttemptFigures,
    BenchItem,
    BenchRun,
    BenchStatus,
    BenchSummary,
    ItemStatus,
    attempt_figures,
    bench_columns,
    bench_of,
    bench_summaries,
    item_columns,
    item_of,
    item_row,
)
from kernelwright.db.lookup import Kind, resolve
from kernelwright.db.models import BaselineRow, BenchItemRow, BenchRunRow, DeviceRow, RunRow
from kernelwright.db.transactions import Transactions, insert_once
from kernelwright.errors import NotFoundError, StoreError
from kernelwright.verifier.evaluation import TimingKind

__all__ = ["BenchStore"]


class BenchStore(Transactions):
    """Runs of suites in, runs of suites out; every call is one transaction."""

    def create_bench_run(self, run: BenchRun, items: Sequence[BenchItem], tasks: Sequence[Task]) -> None:
        """Stores a new run of a suite with all its items and their tasks, in one transaction.

        Raises:
            StoreError: there is one with this id.
        """
        with self._writing() as session:
            if session.get(BenchRunRow, run.id) is not None:
                raise StoreError(
                    f"There already is a bench run {run.id}.", mend="Go on with it: kernelwright bench resume."
                )
            session.execute(insert(BenchRunRow).values(bench_columns(run, self._clock())))
            for task in tasks:
                self._add_task(session, task)
            for item in items:
                session.execute(insert(BenchItemRow).values(item_columns(item, self._clock())))

    def set_bench_status(
        self, bench_run_id: str, status: BenchStatus, message: str = "", *, settings: Mapping[str, Any] | None = None
    ) -> None:
        """Moves a run of a suite to another status, and changes some of its settings if they are given.

        Raises:
            NotFoundError: none has exactly this id.
        """
        with self._writing() as session:
            row = session.get(BenchRunRow, bench_run_id, with_for_update=True)
            if row is None:
                raise NotFoundError(f"There is no bench run {bench_run_id}.", mend="See: kernelwright bench runs")
            row.status, row.message, row.updated = status.value, message, self._clock()
            row.settings = {**row.settings, **(settings or {})}

    def begin_bench_item(self, item: BenchItem, run_id: str) -> BenchItem:
        """A process begins or goes on with an item; gives it with the id that its run has, which is `run_id` the first time.

        Raises:
            NotFoundError: there is no such item.
            StoreError: it has ended.
        """
        with self._writing() as session:
            row = item_row(session, item.bench_run_id, item.position)
            if ItemStatus(row.status).ended:
                raise StoreError(f"Item {item.position} of bench run {item.bench_run_id} has ended.")
            row.status, row.problem, row.updated = ItemStatus.RUNNING.value, "", self._clock()
            row.run_id, row.starts = row.run_id or run_id, row.starts + 1
            return item_of(row)

    def end_bench_item(self, item: BenchItem, status: ItemStatus, problem: str = "", seconds: float = 0.0) -> None:
        """A process has done with an item, for good or for now; of one that has ended nothing changes any more.

        Args:
            seconds: that it worked on it, since the last `begin_bench_item`.

        Raises:
            NotFoundError: there is no such item.
        """
        with self._writing() as session:
            row = item_row(session, item.bench_run_id, item.position)
            if not ItemStatus(row.status).ended:
                row.status, row.problem, row.updated = status.value, problem, self._clock()
                row.seconds += seconds

    def add_baseline(self, task: Task, baseline: Baseline) -> None:
        """Stores a time of a task's own module, with the task and the device.

        Raises:
            StoreError: it is of another task.
        """
        if baseline.task_id != task.id:
            raise StoreError(f"The baseline is of task {baseline.task_id}, not {task.id}.")
        with self._writing() as session:
            self._add_task(session, task)
            device = rows.device_columns(baseline.device, self._clock())
            insert_once(session, DeviceRow, device)
            session.execute(insert(BaselineRow).values(baseline_columns(baseline, str(device["id"]))))

    def bench_run(self, bench_run_id: str) -> BenchRun:
        """The run of a suite with this id, or the only one whose id begins so.

        Raises:
            NotFoundError: there is none, or several.
        """
        with self._reading() as session:
            return bench_of(session.get_one(BenchRunRow, resolve(session, bench_run_id, Kind.BENCH_RUN)))

    def bench_runs(self, limit: int = 50) -> list[BenchSummary]:
        """The newest runs of suites first, at most `limit`."""
        with self._reading() as session:
            return bench_summaries(session, limit)

    def bench_items(self, bench_run_id: str) -> list[BenchItem]:
        """The items of a run of a suite in their order; one that is unknown has none."""
        with self._reading() as session:
            query = select(BenchItemRow).where(BenchItemRow.bench_run_id == bench_run_id)
            return [item_of(row) for row in session.scalars(query.order_by(BenchItemRow.position))]

    def has_run(self, run_id: str) -> bool:
        """Whether there is a run with exactly this id."""
        with self._reading() as session:
            return session.get(RunRow, run_id) is not None

    def figures(self, run_ids: Sequence[str]) -> list[AttemptFigures]:
        """What scoring needs of the attempts of these runs, by run and number."""
        with self._reading() as session:
            return attempt_figures(session, run_ids)

    def baselines(self, task_ids: Sequence[str], kind: TimingKind, gpu: str) -> list[Baseline]:
        """Times of these tasks' own modules, of one kind and for one GPU; of each task, name and device the newest."""
        with self._reading() as session:
            return baselines_of(session, task_ids, kind, gpu)
