"""The queue of searches: what is put there is worked on, however often a process is killed, and never by two at once.

DBOS keeps it: in a SQLite file beside the store's, or in the schema `dbos` of the store's PostgreSQL server. (Of the two other
libraries that were weighed, huey loses what a killed worker had taken from its SQLite queue, and procrastinate needs PostgreSQL.)
A job is no more than the id of a run that is stored; all that is known about it is in the store.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from kernelwright import logs
from kernelwright.db.store import Store
from kernelwright.errors import ConfigError, StoreError
from kernelwright.rl.run import RunStatus

if TYPE_CHECKING:
    from dbos import DBOSClient, WorkflowStatus

__all__ = ["APPLICATION", "QUEUE", "VERSION", "WORKFLOW", "Job", "JobState", "Queue", "place_of_jobs"]

APPLICATION, QUEUE, WORKFLOW = "kernelwright", "searches", "search"
VERSION = "1"
"""Of what a job is. DBOS hands a job to workers of the same version only; ours stay able to do older jobs, so it is one for all."""
_BETWEEN = "~"
_OPEN = ("ENQUEUED", "PENDING", "DELAYED")
_MOST = 1000  # open jobs that are looked through


class JobState(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    TAKEN = "taken"
    """A worker has it, or had it when it was killed: then it is taken again."""
    ENDED = "ended"


@dataclass(frozen=True)
class Job:
    """One turn of work on a run: it is queued, and queued again each time that it is to be gone on with."""

    id: str
    run_id: str
    state: JobState
    worker: str
    """Name of the worker that has it; empty where none has."""

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state is JobState.ENDED


def place_of_jobs(store: Store) -> str:
    """URL of the queue of a store.

    Raises:
        ConfigError: the store is in memory.
    """
    if store.file is not None:
        return f"sqlite:///{store.file.with_name(f'{store.file.stem}.jobs.db')}"
    if not store.shared:
        raise ConfigError(
            "a store in memory has no queue: no other process can see it.", mend="Name a file as `database`."
        )
    return store.url


def quiet() -> None:
    """Sends what DBOS logs to where we log, and not to the terminal."""
    logger = logging.getLogger("dbos")
    logger.handlers, logger.propagate = list(logging.getLogger(logs.ROOT).handlers), False
    logger.setLevel(logging.WARNING)


class Queue:
    """The queue, as who fills it sees it; a context manager.

    Raises:
        ConfigError: the store is in memory.
        StoreError: the queue can't be opened; every method can raise it too.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._client = self._open()

    def _open(self) -> DBOSClient:
        from dbos import DBOSClient, run_dbos_database_migrations

        url = place_of_jobs(self._store)
        quiet()
        try:
            run_dbos_database_migrations(system_database_url=url)
            return DBOSClient(system_database_url=url)
        except Exception as error:
            raise StoreError(
                f"The queue of searches can't be opened ({type(error).__name__}: {error}).",
                mend="Look whether its place beside the database can be written.",
            ) from error

    def close(self) -> None:
        """Closes all connections."""
        self._client.destroy()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def put(self, run_id: str) -> Job:
        """Asks for work on a stored run; if it is asked for already, nothing is added.

        Two processes that ask at the same time make one job.
        """
        jobs = self._jobs_of(run_id)
        for job in jobs:
            if not job.ended:
                return job
        identifier = f"{run_id}{_BETWEEN}{len(jobs) + 1}"
        self._client.enqueue(
            {"workflow_name": WORKFLOW, "queue_name": QUEUE, "workflow_id": identifier, "app_version": VERSION}, run_id
        )
        return Job(identifier, run_id, JobState.WAITING, "")

    def of(self, run_id: str) -> Job | None:
        """The newest job of a run."""
        return max(self._jobs_of(run_id), key=_turn, default=None)

    def job(self, job_id: str) -> Job | None:
        """The job with exactly this id."""
        return next((_job(each) for each in self._list(workflow_ids=[job_id])), None)

    def open_jobs(self) -> list[Job]:
        """Jobs that wait or are being worked on, oldest first."""
        return [_job(each) for each in self._list(status=list(_OPEN), limit=_MOST)]

    def cancel(self, run_id: str) -> bool:
        """Takes back what was asked for: a search that goes on is interrupted, one that waits never begins.

        What was found out by then is kept, and the run can be put here again. Whether there was something to take back.
        """
        open_ones = [job for job in self._jobs_of(run_id) if not job.ended]
        for job in open_ones:
            self._client.cancel_workflow(job.id)
            if job.state is JobState.WAITING:
                self._store.set_status(run_id, RunStatus.INTERRUPTED, "Cancelled before it began.")
        return bool(open_ones)

    def reachable(self) -> None:
        """Asks it for a job.

        Raises:
            StoreError: it can't be asked.
        """
        self._list(status=list(_OPEN), limit=1)

    def mend(self) -> list[str]:
        """Asks for the work on runs that are stored as queued and were never put here: whoever stored them was killed
        in between. Gives their ids."""
        found = [run_id for run_id in self._store.queued_runs() if self.of(run_id) is None]
        for run_id in found:
            self.put(run_id)
        return found

    def _jobs_of(self, run_id: str) -> list[Job]:
        found = map(_job, self._list(workflow_id_prefix=run_id + _BETWEEN))
        return [job for job in found if job.run_id == run_id]

    def _list(self, **choice: Any) -> Sequence[WorkflowStatus]:
        try:
            return self._client.list_workflows(load_input=False, load_output=False, **choice)
        except Exception as error:  # whatever the library lets out of its database
            raise StoreError(f"The queue of searches can't be read ({type(error).__name__}: {error}).") from error


def _turn(job: Job) -> int:
    return int(job.id.rpartition(_BETWEEN)[2])


def _job(status: WorkflowStatus) -> Job:
    run_id, _, _ = status.workflow_id.rpartition(_BETWEEN)
    state = {"PENDING": JobState.TAKEN, "ENQUEUED": JobState.WAITING, "DELAYED": JobState.WAITING}.get(
        status.status, JobState.ENDED
    )
    return Job(status.workflow_id, run_id, state, (status.executor_id or "") if state is JobState.TAKEN else "")
