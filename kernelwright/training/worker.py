"""An evaluator's process: `python -m kernelwright.training.worker`, started by `kernelwright.rl.training.pool`.

It reads its order, one line of JSON with the settings of the trainer, then requests, one a line, and answers each with a line:
`evaluation`, or `problem` where it could not judge. Before that it says where it is, a line each: `device`, once the reference is
open and only the kernel is waited for, then each `stage`. The references of the last few tasks stay open. When its standard input ends,
its parent is gone, and it stops as by Ctrl-C.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from queue import SimpleQueue
from typing import Any

from kernelwright.config import Settings, load_settings
from kernelwright.errors import KernelwrightError
from kernelwright.events import Event, StageStarted, ignore
from kernelwright.jobs import Target, evaluate_opened, resolve_target
from kernelwright.logs import keep_traceback, set_up
from kernelwright.opening import open_reference
from kernelwright.rl.training.wire import kernel_from_json, task_from_json
from kernelwright.sandbox.reference import Reference
from kernelwright.sandbox.spares import Spares
from kernelwright.verifier.device_info import device_info

__all__ = ["HERE", "WORKER", "main"]

HERE = (
    "data",
    "database",
    "cache",
    "gpu",
    "device",
    "isolation",
    "call_seconds",
    "memory_bytes",
    "timing_seconds",
    "log_level",
)
"""Settings that an order brings along."""
WORKER = ("-P", "-m", "kernelwright.training.worker")
"""What an evaluator's interpreter is started with."""
_OPEN = 4
"""References open at a time: each is a process with torch, some 300 MB."""
_STOP_SECONDS = 10.0  # that stopping may take once the parent is gone


def main() -> int:
    """Answers requests until there are no more."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    settings = load_settings(**json.loads(sys.stdin.readline()))
    set_up(settings.log_file, settings.log_level)
    requests: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()

    def say(line: Mapping[str, Any]) -> None:
        out.write(json.dumps(line) + "\n")
        out.flush()

    try:
        with _Judge(settings, say) as judge:
            while line := requests.get():
                say(judge.answer(json.loads(line)))
    except KeyboardInterrupt:
        return 130
    return 0


class _Judge:
    """Judges kernels, with the references of the last few tasks open."""

    def __init__(self, settings: Settings, say: Callable[[Mapping[str, Any]], None]) -> None:
        self._say = say
        self._target: Target = resolve_target(settings)
        self._stack = ExitStack()
        self._spares = self._stack.enter_context(Spares(self._target.device, self._target.limits))
        self._open: OrderedDict[str, Reference] = OrderedDict()

    def __enter__(self) -> _Judge:
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack:
            for reference in self._open.values():
                reference.close()

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What came of a request."""
        task, kernel = task_from_json(request["task"]), kernel_from_json(request["kernel"])
        try:
            reference = self._open.pop(task.id, None) or open_reference(
                task, self._target.limits, ignore, fence=self._target.device.isolation
            )
            self._open[task.id] = reference
            while len(self._open) > _OPEN:
                self._open.popitem(last=False)[1].close()
            self._say({"device": device_info(self._target.device).model_dump()})
            evaluation = evaluate_opened(task, self._target, reference, self._spares, kernel, self._hear)
        except KernelwrightError as error:  # of the task, the reference or a process of ours, not of the kernel
            return {"problem": str(error)}
        except Exception as error:  # noqa: BLE001 - the outermost edge: a bug ends this judgement only
            return {
                "problem": f"unexpected error ({type(error).__name__}); the traceback is in {keep_traceback(error)}"
            }
        # not mode="json": that writes None for an infinity or NaN in the evidence
        return {"evaluation": evaluation.model_dump()}

    def _hear(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            self._say({"stage": event.stage})


def _read(requests: SimpleQueue[str]) -> None:
    for line in sys.stdin:
        requests.put(line)
    requests.put("")
    time.sleep(_STOP_SECONDS)  # at work, it would not see the empty line
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(_STOP_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
