"""Tasks: the list of them, and one with what there is for it."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from kernelwright.bench_tasks.task import Workload
from kernelwright.db.store import Store
from kernelwright.db.task_pages import TaskLine
from kernelwright.errors import NotFoundError
from kernelwright.verifier.evaluation import TimingKind
from kernelwright.web.kept import Kept
from kernelwright.web.views.runs import RunLine

__all__ = ["Best", "Record", "TaskList", "TaskPage", "TaskShort", "Top", "task_list", "task_page"]

_RECORDS_SECONDS = 5.0
"""A task may have tens of thousands of kernels to go through."""
_TOPS = 10
_RUNS = 10


class Best(BaseModel):
    """What there is for a task on one GPU with one kind of time."""

    gpu: str
    kind: TimingKind
    kernels: int
    speedup: float | None
    """Over the baseline, the largest of a kernel that passed; null where none did."""


class TaskShort(BaseModel):
    """A task in short."""

    id: str
    name: str
    format: str
    created: datetime
    operations: list[str]
    dtypes: list[str]
    shapes: list[str]
    """Of inputs, as far as the source tells."""
    bests: list[Best]
    """Measured before modelled."""


class TaskList(BaseModel):
    """A page of the list of tasks, the newest first."""

    q: str
    tasks: list[TaskShort]
    after: str
    """Of the next page; empty when this is the last."""


class Record(BaseModel):
    """A kernel that was faster than all before it. Times in seconds."""

    gpu: str
    kind: TimingKind
    created: datetime
    seconds: float
    baseline_seconds: float
    kernel_id: str
    evaluation_id: str
    author: str


class Top(BaseModel):
    """One of the fastest kernels. Times in seconds."""

    gpu: str
    kind: TimingKind
    place: int
    kernel_id: str
    evaluation_id: str
    author: str
    seconds: float
    baseline_seconds: float
    speedup: float
    speedup_low: float | None
    speedup_high: float | None
    techniques: list[str]
    created: datetime


class WorkloadView(BaseModel):
    """One way of making inputs."""

    name: str
    distribution: str
    seeds: int
    strided: bool
    most_elements: int | None
    sizes: dict[str, int]
    """Names of the task file that stand for other numbers."""


class BaselineView(BaseModel):
    """What the task's own module takes. Times in seconds."""

    name: str
    kind: TimingKind
    gpu: str
    seconds: float
    seconds_low: float
    seconds_high: float
    interval_source: str
    created: datetime


class TaskPage(BaseModel):
    """A task, and what there is for it."""

    task: TaskShort
    path: str | None
    backward: bool
    """Whether gradients are asked for too."""
    source: str
    attachments: dict[str, int]
    """Bytes by name of the files that the source reads."""
    workloads: list[WorkloadView]
    policy: dict[str, float]
    """The numeric policy; docs/numeric-policy.md says what each number is."""
    tops: list[Top]
    records: list[Record]
    """Each kernel stands at the time of its fastest evaluation. Oldest first, by kind of time and GPU."""
    baselines: list[BaselineView]
    runs: list[RunLine]
    """The newest."""


def task_list(store: Store, q: str, after: str, limit: int) -> TaskList:
    """A page of the list: tasks whose names and operations have these words."""
    found = store.task_lines(q, after, limit)
    return TaskList(q=q, tasks=[_short(each) for each in found.tasks], after=found.after)


def task_page(store: Store, kept: Kept, task_id: str) -> TaskPage:
    """The task with this id.

    Raises:
        NotFoundError: there is none.
    """
    found = store.task_overview(task_id, _TOPS)
    if found is None:
        raise NotFoundError(f"There is no task {task_id}.", mend="See the list of tasks.")
    records = kept.get(
        ("records", task_id),
        lambda: [Record(**vars(each)) for each in store.task_records(task_id)],
        seconds=_RECORDS_SECONDS,
        oldest=_RECORDS_SECONDS,
    )
    return TaskPage(
        task=_short(found.line),
        path=found.path,
        backward=found.backward,
        source=found.source,
        attachments=dict(found.attachments),
        workloads=[_workload(each) for each in found.workloads],
        policy=vars(found.policy),
        tops=[Top(**vars(each)) for each in found.tops],
        records=records.value,
        baselines=[BaselineView(**vars(each)) for each in found.baselines],
        runs=[RunLine(**vars(each)) for each in store.runs(_RUNS, task=task_id)],
    )


def _short(line: TaskLine) -> TaskShort:
    return TaskShort(**vars(line) | {"bests": [Best(**vars(each)) for each in line.bests]})


def _workload(given: Workload) -> WorkloadView:
    return WorkloadView(
        name=given.name,
        distribution=given.distribution.value,
        seeds=given.seeds,
        strided=given.strided,
        most_elements=given.most_elements,
        sizes=dict(given.sizes),
    )
