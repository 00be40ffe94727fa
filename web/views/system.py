"""The machine and the service: devices, queue, workers, versions, store."""

from __future__ import annotations

import importlib.metadata
import platform
from datetime import datetime
from functools import lru_cache

from pydantic import BaseModel

from kernelwright import __version__
from kernelwright.config import Settings
from kernelwright.db.migrate import HEAD
from kernelwright.db.store import Store
from kernelwright.doctor import checks, ready
from kernelwright.errors import StoreError
from kernelwright.service.queue import Job, JobState, Queue
from kernelwright.service.worker import worker_lock
from kernelwright.web.kept import Kept

__all__ = ["Finding", "JobLine", "System", "WorkerLine", "system_view"]

_CHECKS_SECONDS, _QUEUE_SECONDS, _SIZE_SECONDS = 300.0, 2.0, 60.0
_CHECKS_PATIENCE = 1.0
_JOBS = 50
_UNTOLD = frozenset({"cache", "database"})
"""Findings whose details are paths of this machine."""


class Finding(BaseModel):
    """Something that was looked for on the server's machine."""

    name: str
    found: bool
    detail: str
    adds: str
    """What it is needed for, or what it would add."""
    essential: bool


class JobLine(BaseModel):
    """A search that waits or is worked on."""

    run_id: str
    state: JobState
    worker: str


class WorkerLine(BaseModel):
    """A process that makes searches."""

    name: str
    alive: bool
    """Whether it holds its lock; what one that does not had taken is taken up by another."""
    jobs: list[str]
    """Runs that it has."""


class StoreSize(BaseModel):
    """How much is stored."""

    engine: str
    bytes: int | None
    tasks: int
    kernels: int
    evaluations: int
    runs: int


class System(BaseModel):
    """How the service stands."""

    device: str
    """Where kernels are judged: `auto`, `cuda` or `emulator`."""
    gpu: str
    """That kernels are written for where nothing else is said, and that modelled times stand for."""
    isolation: str
    ready: bool | None
    """Whether searches can run here; null while that is being looked for."""
    findings: list[Finding]
    looked: datetime | None
    """When the findings were made."""
    waiting: int
    taken: int
    jobs: list[JobLine]
    """The oldest, at most 50."""
    queue_problem: str
    """Why the queue can't be read; empty when it can."""
    workers: list[WorkerLine]
    versions: dict[str, str]
    store: StoreSize


class _Work(BaseModel):
    jobs: list[JobLine]
    workers: list[WorkerLine]
    problem: str


def system_view(settings: Settings, store: Store, queue: Queue, kept: Kept) -> System:
    """How it stands; what is slow to find out is some time old."""
    found = kept.soon(
        "findings",
        lambda: _findings(settings),
        seconds=_CHECKS_SECONDS,
        oldest=10 * _CHECKS_SECONDS,
        patience=_CHECKS_PATIENCE,
    )
    work = kept.get("work", lambda: _work(store, queue), seconds=_QUEUE_SECONDS, oldest=_QUEUE_SECONDS).value
    return System(
        device=settings.device,
        gpu=settings.gpu,
        isolation=settings.isolation,
        ready=None if found is None else found.value[0],
        findings=[] if found is None else found.value[1],
        looked=None if found is None else found.made,
        waiting=sum(job.state is JobState.WAITING for job in work.jobs),
        taken=sum(job.state is JobState.TAKEN for job in work.jobs),
        jobs=work.jobs[:_JOBS],
        queue_problem=work.problem,
        workers=work.workers,
        versions=dict(_versions()),
        store=kept.get("size", lambda: _size(store), seconds=_SIZE_SECONDS, oldest=10 * _SIZE_SECONDS).value,
    )


def _findings(settings: Settings) -> tuple[bool, list[Finding]]:
    found = checks(settings)
    told = [
        Finding(
            name=each.name, found=each.found, adds=each.adds, essential=each.essential,
            detail="" if each.name in _UNTOLD else each.detail,
        )
        for each in found
    ]  # fmt: skip
    return ready(found), told


def _work(store: Store, queue: Queue) -> _Work:
    try:
        jobs = queue.open_jobs()
        problem = ""
    except StoreError as error:
        jobs, problem = [], error.message
    names = {job.worker for job in jobs} - {""}
    alive = {
        lock.removeprefix(worker_lock("")) for lock in store.locks.held_of(worker_lock(""), map(worker_lock, names))
    }
    return _Work(
        jobs=[JobLine(run_id=job.run_id, state=job.state, worker=job.worker) for job in jobs],
        workers=[
            WorkerLine(name=name, alive=name in alive, jobs=_had_by(name, jobs)) for name in sorted(names | alive)
        ],
        problem=problem,
    )


def _had_by(worker: str, jobs: list[Job]) -> list[str]:
    return [job.run_id for job in jobs if job.worker == worker]


def _size(store: Store) -> StoreSize:
    found = store.size()
    return StoreSize(
        engine=found.engine, bytes=found.bytes, tasks=found.tasks, kernels=found.kernels, evaluations=found.evaluations,
        runs=found.runs,
    )  # fmt: skip


@lru_cache(maxsize=1)
def _versions() -> tuple[tuple[str, str], ...]:
    found = [("Kernelwright", __version__), ("Python", platform.python_version()), ("store's schema", HEAD)]
    for name in ("torch", "nvidia-cuda-nvrtc", "cuda-bindings", "sqlalchemy", "fastapi", "dbos"):
        try:
            found.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            found.append((name, "not installed"))
    return tuple(found)
