"""The process of one item: `python -m kernelwright.bench.worker`, started by `kernelwright.bench.child`.

It reads its order, one line of JSON, from standard input, and writes the events of its search and how it ended, one line of
JSON each, to standard output. What came of the item it writes to the store itself, before it says so: nothing depends on
whether its parent is still there. When its standard input ends, its parent is gone, and it stops as by Ctrl-C.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from kernelwright.bench.plan import settings_of
from kernelwright.config import Settings, load_settings
from kernelwright.db.bench import BenchItem, ItemStatus
from kernelwright.db.store import Store
from kernelwright.errors import BudgetReached, ConfigError, EmulatorError, KernelwrightError, ModelError, StoreError
from kernelwright.events import Event, event_json
from kernelwright.jobs import Outcome, open_store, optimize_task, resume_run
from kernelwright.logs import keep_traceback, set_up
from kernelwright.rl.ids import new_run_id
from kernelwright.rl.run import RunStatus
from kernelwright.words import one_line

__all__ = ["HERE", "Say", "Search", "main", "work"]

HERE = ("data", "database", "cache", "prices", "log_level")
"""Settings of this machine that an order brings along, beside those that the run keeps: the parent may have been given them by other ways
than files and the environment, where something else may stand that can't be."""
_STOP_SECONDS = 10.0  # that stopping may take once the parent is gone
_SHORT = "Its share of the budget allows no further call of a model."
Say = Callable[[Mapping[str, Any]], None]
Search = Callable[[BenchItem, Settings, Store, str | None, Say], Outcome | None]
"""Makes or goes on with the search of an item, given its settings, its allowance in dollars and where events go; None if it
had ended before."""


def main(search: Search | None = None) -> int:
    """Does what the order says; 0 when the item's state is stored.

    Args:
        search: in place of `optimize_task` and `resume_run`; tests have one that is scripted.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no message
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_stop_without_parent, daemon=True).start()

    def say(message: Mapping[str, Any]) -> None:
        try:
            out.write(json.dumps(message) + "\n")
            out.flush()
        except BrokenPipeError:  # nobody reads any more; standard input ends too
            return

    settings = load_settings(**order["here"])
    set_up(settings.log_file, settings.log_level)
    with open_store(settings) as store:
        say(work(order, settings, store, say, search or _search))
    return 0


def work(order: Mapping[str, Any], settings: Settings, store: Store, say: Say, search: Search) -> dict[str, Any]:
    """Begins or goes on with the item of an order; how that ended: `status`, `problem`, `budget`, `fatal`.

    Args:
        order: `bench_run`, `position`, and `allowance`: dollars that it may spend from now on, null for no bound.
    """
    began = time.monotonic()
    run = store.bench_run(order["bench_run"])
    item = next(each for each in store.bench_items(run.id) if each.position == order["position"])
    item = store.begin_bench_item(item, new_run_id(item.task_name))
    ended: dict[str, Any] = {"status": ItemStatus.FINISHED, "problem": "", "budget": False, "fatal": None}
    try:
        outcome = search(item, settings_of(run, settings), store, order["allowance"], say)
        if outcome is not None and outcome.run.status is RunStatus.INTERRUPTED:
            ended |= {"status": ItemStatus.STOPPED, "problem": _SHORT, "budget": True}
        elif outcome is not None and not outcome.attempts:
            ended["problem"] = outcome.run.message
    except KeyboardInterrupt:
        ended |= {"status": ItemStatus.STOPPED, "problem": "It was interrupted."}
    except BudgetReached:
        ended |= {"status": ItemStatus.STOPPED, "problem": _SHORT, "budget": True}
    except (ConfigError, EmulatorError) as error:  # the same would come of every item
        fatal = {"kind": type(error).__name__, "message": error.message, "mend": error.mend, "path": error.path}
        ended |= {"status": ItemStatus.STOPPED, "problem": error.message, "fatal": fatal}
    except (ModelError, StoreError) as error:  # says nothing of the task, and may pass
        ended |= {"status": ItemStatus.STOPPED, "problem": error.message}
    except KernelwrightError as error:
        ended |= {"status": ItemStatus.FAILED, "problem": error.message}
    except Exception as error:  # noqa: BLE001 - the outermost edge: a bug ends this item only
        where = keep_traceback(error)
        problem = f"Unexpected error ({type(error).__name__}), a bug in kernelwright; the traceback is in {where}."
        ended |= {"status": ItemStatus.FAILED, "problem": problem}
    ended["problem"] = one_line(ended["problem"], 1000)
    store.end_bench_item(item, ended["status"], ended["problem"], time.monotonic() - began)
    return {"ended": ended}


def _search(item: BenchItem, settings: Settings, store: Store, allowance: str | None, say: Say) -> Outcome | None:
    """The item's search, from where it stands; None if it had ended before."""

    def observer(event: Event) -> None:
        say(event_json(event))

    assert item.run_id is not None
    if store.has_run(item.run_id):
        if store.run(item.run_id).status is RunStatus.FINISHED:  # killed between that and the item's end
            return None
        budget = None if allowance is None else store.spent(item.run_id) + Decimal(allowance)
        return resume_run(item.run_id, settings, store=store, observer=observer, budget=budget)
    task = replace(store.task(item.task_id), name=item.task_name, path=item.task_path)
    changes = {
        "budget": None if allowance is None else Decimal(allowance),
        "seed": f"{settings.seed}/{item.repeat}"
        if settings.seed
        else "",  # repeats that all did the same would tell nothing
    }
    settings = settings.model_copy(update=changes)
    fenced = bool(store.bench_run(item.bench_run_id).settings.get("fenced"))
    return optimize_task(task, settings, store=store, observer=observer, run_id=item.run_id, fenced=fenced)


def _stop_without_parent() -> None:
    while sys.stdin.read(1):
        pass
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(_STOP_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
