"""A worker whose searches are scripted by the names of their tasks; run as a script, in place of `kernelwright.bench.worker`.

A search makes three attempts of a microsecond each, and writes what it evaluates to `evaluated` in the folder
BENCH_TEST_FOLDER, a line each, before it does. What the name of a task begins with says what else it does:

    unwritten   raises LoweringError
    dying       kills itself at the second attempt
    once        the same, the first time only
    hanging     waits at the second attempt until it is told to end
    paid        pays a dollar before each attempt, and stops for want of money where that passes the budget
    keyless     raises ConfigError
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from model_calls import call
from search_doubles import EPOCH, attempt, run

from kernelwright.bench import worker
from kernelwright.config import Settings
from kernelwright.db.bench import BenchItem
from kernelwright.db.store import Store
from kernelwright.errors import ConfigError, LoweringError
from kernelwright.events import AttemptStarted, event_json
from kernelwright.jobs import Outcome
from kernelwright.rl.run import RunStatus

ATTEMPTS = 3


def search(item: BenchItem, settings: Settings, store: Store, allowance: str | None, say: worker.Say) -> Outcome | None:
    folder, name = Path(os.environ["BENCH_TEST_FOLDER"]), item.name
    assert item.run_id is not None
    if name.startswith("unwritten"):
        raise LoweringError("no kernel can be written for this module.")
    if name.startswith("keyless"):
        raise ConfigError("openai models need a key, and none is set.", mend="Set it.")
    task = store.task(item.task_id)
    if not store.has_run(item.run_id):
        store.create_run(run(item.run_id, rounds=ATTEMPTS, task=task))
    budget = None if allowance is None else store.spent(item.run_id) + Decimal(allowance)
    for number in range(len(store.attempts(item.run_id)) + 1, ATTEMPTS + 1):
        say(event_json(AttemptStarted(item.run_id, number, "version")))
        if name.startswith("paid"):
            if budget is not None and store.spent(item.run_id) + 1 > budget:
                store.set_status(item.run_id, RunStatus.INTERRUPTED, "The budget allows no further call.")
                break
            store.add_call(call(item.run_id, number, dollars=Decimal(1)))
        with (folder / "evaluated").open("a") as file:
            file.write(f"{name} {item.repeat} {number}\n")
        if number == 2:
            _misbehave(name, folder)
        store.add_attempt(attempt(item.run_id, number, 1e-6, task=task))
    else:
        store.set_status(item.run_id, RunStatus.FINISHED)
    stored = replace(store.run(item.run_id), created=EPOCH)
    return Outcome(stored, tuple(store.attempts(item.run_id)), store.best(item.run_id))


def _misbehave(name: str, folder: Path) -> None:
    first = not (folder / name).exists()
    (folder / name).touch()
    if name.startswith("dying") or (name.startswith("once") and first):
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("hanging") and first:
        signal.pause()


if __name__ == "__main__":
    sys.exit(worker.main(search))
