"""A worker: takes searches from the queue and has each made by a process of its own.

A worker has a name that it alone may use while it lives (it holds a lock of that name), and jobs bear the name of the worker that took
them. So a job whose worker's lock is free has nobody: it goes back into the queue, whether its worker was killed on this machine or
another one. The search itself holds the lock of its run, so what a killed worker leaves behind can't meet its successor.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from kernelwright.bench.child import Child
from kernelwright.config import Settings
from kernelwright.db.locks import Held
from kernelwright.db.store import Store
from kernelwright.errors import KernelwrightError, StoreError
from kernelwright.rl.run import RunStatus
from kernelwright.service.queue import APPLICATION, QUEUE, VERSION, WORKFLOW, Queue, place_of_jobs, quiet

__all__ = ["Stopping", "Worker", "worker_lock"]

_log = logging.getLogger(__name__)

PROCESS = ("-P", "-m", "kernelwright.service.search")
"""What the interpreter of a search is started with."""
_LOOK_SECONDS = 0.25
"""How often a search under way is looked at: has it ended, was it cancelled."""
_PATROL_SECONDS = 2.0
"""How often abandoned jobs are looked for."""
_POLL_SECONDS = 0.25
"""How often the queue is asked for work."""
_STARTS = 3
"""Times that a search is started whose process dies without a word, before the run counts as failed."""
_TAKEN_MOST = 50
"""Times that a job may be taken up again after kills before it is given up, so that one that kills workers ends."""
_GRACE_SECONDS = 30.0
"""That an interrupted search gets to store where it stands."""
HERE = ("data", "database", "cache", "prices", "log_level")
"""Settings of this machine that a search is told; all others are the run's own."""


class Stopping(BaseException):
    """The worker stops: a job under way stays taken, and is gone on with by whoever comes next.

    No `Exception`, for what a job raises of those ends the job.
    """


def worker_lock(name: str) -> str:
    """The lock that a worker of this name holds while it lives."""
    return f"worker-{name}"


class Worker:
    """Works until `stop`; a context manager.

    Args:
        searches: made at a time.
        say: told in words what begins and ends.
        process: as `PROCESS`; tests have one that is scripted.

    Raises:
        ConfigError: the store is in memory.
        StoreError: the queue can't be opened.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        searches: int,
        say: Callable[[str], None],
        process: Sequence[str] = PROCESS,
    ) -> None:
        self._settings, self._store, self._say, self._process = settings, store, say, process
        self._stopping = threading.Event()
        self._children: set[Child] = set()
        self._held = self._own_name()
        self.name = self._held.name.removeprefix(worker_lock(""))
        """Who it is to the queue."""
        self._queue = Queue(store)
        self._start(searches)

    def _own_name(self) -> Held:
        number = 1
        while True:
            held = self._store.locks.take(worker_lock(f"{socket.gethostname()}-{number}"))
            if held is not None:
                return held
            number += 1

    def _start(self, searches: int) -> None:
        from dbos import DBOS

        DBOS(
            config={
                "name": APPLICATION,
                "system_database_url": place_of_jobs(self._store),
                "application_version": VERSION,
                "executor_id": self.name,
                "console_log_level": "CRITICAL",
                "use_listen_notify": False,
            }
        )
        quiet()

        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=_TAKEN_MOST)
        def search(run_id: str) -> str:
            return self._job(run_id)

        DBOS.launch()
        quiet()
        DBOS.register_queue(
            QUEUE, worker_concurrency=searches, polling_interval_sec=_POLL_SECONDS, on_conflict="always_update"
        )

    # -- until the end ------------------------------------------------------------------------------------------

    def work(self) -> None:
        """Works until `stop` is called; looks after jobs whose workers are gone."""
        while not self._stopping.wait(_PATROL_SECONDS):
            try:
                self._queue.mend()
                self._recover()
            except KernelwrightError as error:
                _log.warning("the queue could not be looked through: %s", error)
            if self._held.lost():
                _log.error("the lock of worker %s is lost: another one may bear its name", self.name)
                self.stop()

    def stop(self) -> None:
        """Takes no more, and interrupts what goes on; from any thread, more than once does no more."""
        self._stopping.set()

    def close(self) -> None:
        """Stops, waits until searches have stored where they stand, and closes everything."""
        from dbos import DBOS

        self.stop()
        end = time.monotonic() + _GRACE_SECONDS
        while self._children and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS / 5)
        DBOS.destroy(destroy_registry=True)
        self._queue.close()
        self._held.release()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _recover(self) -> None:
        """Gives back to the queue what workers that are gone had taken."""
        from dbos import DBOS

        for gone in sorted({job.worker for job in self._queue.open_jobs()} - {"", self.name}):
            held = self._store.locks.take(worker_lock(gone))
            if held is None:
                continue  # it lives
            with held:  # no two workers do this at once
                _log.warning("worker %s is gone; its searches are taken up", gone)
                DBOS._recover_pending_workflows([gone])

    # -- one job ------------------------------------------------------------------------------------------------

    def _job(self, run_id: str) -> str:
        """Makes a search, or goes on with it; how it ended. It may be called again after any kill."""
        from dbos import DBOS

        job_id = DBOS.workflow_id or ""
        said = ""
        for _ in range(_STARTS):
            if self._stopping.is_set():
                raise Stopping
            self._say(f"{run_id}: begins")
            ended, said = self._one_process(job_id, run_id)
            if ended is not None:
                self._say(f"{run_id}: {ended['status']}{': ' + ended['message'] if ended['message'] else ''}")
                return str(ended["status"])
            if self._stopping.is_set():
                raise Stopping
            if self._cancelled(job_id):
                return "cancelled"
            _log.warning("the process of run %s died: %s", run_id, said)
        message = f"The process that made this search died {_STARTS} times. {said}".strip()
        self._store.set_status(run_id, RunStatus.FAILED, message)
        self._say(f"{run_id}: {message}")
        return "failed"

    def _one_process(self, job_id: str, run_id: str) -> tuple[dict[str, Any] | None, str]:
        """What the process said of its end, if it did; and, in words, how it ended otherwise."""
        here = {name: value for name in HERE if (value := getattr(self._settings, name)) not in (None, "")}
        order = json.loads(json.dumps({"run": run_id, "here": here}, default=str))
        null = os.open(os.devnull, os.O_RDONLY)
        try:
            child = Child(order, null, self._process)
        finally:
            os.close(null)
        self._children.add(child)
        try:
            interrupted = 0.0
            while child.messages() is not None:
                if not interrupted and (self._stopping.is_set() or self._cancelled(job_id)):
                    interrupted = time.monotonic()
                    child.interrupt()
                if interrupted and time.monotonic() - interrupted > _GRACE_SECONDS:
                    child.kill()
                time.sleep(_LOOK_SECONDS)
            said = child.close()
        finally:
            self._children.discard(child)
        if self._stopping.is_set() and child.ended is not None and child.ended["status"] == RunStatus.INTERRUPTED:
            self._store.set_status(run_id, RunStatus.QUEUED, "Its worker was stopped; the next one goes on.")
            raise Stopping
        return child.ended, said

    def _cancelled(self, job_id: str) -> bool:
        try:
            job = self._queue.job(job_id)
        except StoreError:
            return False  # it is asked again soon
        return job is None or job.ended
