"""A worker whose searches are scripted by the names of their tasks; run as a script: `service_worker.py DATABASE`.

A search makes `rounds` attempts of a microsecond each under the run's lock, and writes each to `evaluated` beside the database before it
stores it. What the name of a task begins with says what else it does:

    dying       kills itself at the second attempt, always
    once        the same, the first time only
    hanging     waits at the second attempt until it is told to end, the first time
    slow        waits a moment at every attempt: for tests that kill at random moments
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from search_doubles import EPOCH, attempt

from kernelwright.config import Settings, load_settings
from kernelwright.db.store import Store
from kernelwright.errors import MisuseError
from kernelwright.events import AttemptFinished, AttemptStarted, Observer, RunStarted, StageStarted
from kernelwright.jobs import Outcome, open_store
from kernelwright.rl.run import RunStatus
from kernelwright.service import search as search_process
from kernelwright.service.worker import Worker

MOMENT = 0.02  # seconds of a slow attempt: long enough that random kills hit every place


def scripted(run_id: str, settings: Settings, *, store: Store, observer: Observer, patience: float) -> Outcome:
    held = store.locks.take(run_id, patience=patience)
    if held is None:
        raise MisuseError(f"run {run_id} is being worked on by another process.")
    with held:
        run = store.run(run_id)
        try:
            _make(run_id, run.task.name, run.rounds, store)
        except KeyboardInterrupt:
            store.set_status(run_id, RunStatus.INTERRUPTED, "Stopped.")
        else:
            store.set_status(run_id, RunStatus.FINISHED)
    return Outcome(replace(store.run(run_id), created=EPOCH), tuple(store.attempts(run_id)), store.best(run_id))


def _make(run_id: str, name: str, rounds: int, store: Store) -> None:
    folder, task = Path(store.place).parent, store.run(run_id).task
    store.set_status(run_id, RunStatus.RUNNING)
    store.add_run_event(run_id, RunStarted(run_id, name, rounds))
    for number in range(len(store.attempts(run_id)) + 1, rounds + 1):
        store.add_run_event(run_id, AttemptStarted(run_id, number, "version"))
        store.add_run_event(run_id, StageStarted("correctness"))
        with (folder / "evaluated").open("a") as file:
            file.write(f"{run_id} {number}\n")
        if name.startswith("slow"):
            time.sleep(MOMENT)
        if number == 2:
            _misbehave(name, folder / f"{run_id}.first")
        store.add_attempt(attempt(run_id, number, 1e-6, task=task))
        store.add_run_event(
            run_id, AttemptFinished(run_id, number, "passed", "", 1e-6, "modelled", 2.0, "", number == 1)
        )


def _misbehave(name: str, mark: Path) -> None:
    first = not mark.exists()
    mark.touch()
    if name.startswith("dying") or (name.startswith("once") and first):
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("hanging") and first:
        signal.pause()


def main() -> int:
    """Works until it is told to stop."""
    settings = load_settings(database=sys.argv[1], data=Path(sys.argv[1]).parent)
    with (
        open_store(settings) as store,
        Worker(settings, store, 2, lambda text: print(text, flush=True), ("-P", __file__)) as worker,
    ):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: worker.stop())
        print("ready", flush=True)
        worker.work()
    return 0


if __name__ == "__main__":
    sys.exit(main() if len(sys.argv) > 1 else search_process.main(scripted))
