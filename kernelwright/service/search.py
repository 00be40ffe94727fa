"""The process of one search: `python -m kernelwright.service.search`, started by `kernelwright.service.worker`.

It reads its order, one line of JSON, from standard input, and says how the search ended in one line of JSON on standard output. When its
standard input ends, its worker is gone: it stops as by Ctrl-C, and another worker goes on.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from kernelwright.config import Settings, load_settings
from kernelwright.db.store import Store
from kernelwright.errors import KernelwrightError, MisuseError
from kernelwright.events import ignore
from kernelwright.jobs import Outcome, open_store, resume_run
from kernelwright.logs import keep_traceback, set_up
from kernelwright.rl.run import RunStatus
from kernelwright.words import one_line

__all__ = ["Search", "main"]

Search = Callable[..., Outcome]
"""As `resume_run`."""

_STOP_SECONDS = 10.0  # that stopping may take once the worker is gone
_left = threading.Event()
"""Set when the worker is gone."""
_PATIENCE = 120.0  # seconds to wait for the process that a killed worker has left; it ends some 10 s after its worker


def main(search: Search = resume_run) -> int:
    """Does what the order says; 0 when the run's state is stored.

    Args:
        search: in place of `resume_run`; tests have one that is scripted.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no message
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_stop_without_worker, daemon=True).start()
    settings = load_settings(**order["here"])
    set_up(settings.log_file, settings.log_level)
    with open_store(settings) as store:
        ended = _work(order["run"], settings, store, search)
        print(json.dumps({"ended": ended}), file=out, flush=True)
    return 0


def _work(run_id: str, settings: Settings, store: Store, search: Search) -> dict[str, Any]:
    """Makes the search, from where it stands; its status and message at the end."""
    message = None
    try:
        if store.run(run_id).status is not RunStatus.FINISHED:  # killed between that and the job's end
            search(run_id, settings, store=store, observer=ignore, patience=_PATIENCE)
    except KeyboardInterrupt:
        if store.run(run_id).status in (RunStatus.QUEUED, RunStatus.RUNNING):  # it had not begun
            store.set_status(run_id, RunStatus.INTERRUPTED, "Interrupted before it began.")
    except KernelwrightError as error:
        message = f"{error.message} {error.mend}".strip()
        if isinstance(error, MisuseError) and store.run(run_id).status is RunStatus.FINISHED:
            message = None
    except Exception as error:  # noqa: BLE001 - the outermost edge: a bug ends this search only
        where = keep_traceback(error)
        message = f"Unexpected error ({type(error).__name__}), a bug in kernelwright; the traceback is in {where}."
    if message is not None:
        store.set_status(run_id, RunStatus.FAILED, one_line(message, 2000))
    run = store.run(run_id)
    if _left.is_set() and run.status is RunStatus.INTERRUPTED:
        store.set_status(run_id, RunStatus.QUEUED, "Its worker is gone; the next one goes on.")
    return {"status": run.status.value, "message": one_line(run.message, 500)}


def _stop_without_worker() -> None:
    while sys.stdin.read(1):
        pass
    _left.set()
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(_STOP_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
