"""The pool of evaluators: processes that judge kernels, apart from the trainer's, started anew when one dies or hangs.

Each evaluator is a plain child process that takes one request at a time as a line of JSON on its standard input and answers
with a line on its standard output (`kernelwright.training.worker` is one). Before it answers it may say where it is: `device` once
the task is open and the kernel's turn begins, then the `stage`. A request whose evaluator dies, hangs or says that it could not
judge goes to a fresh process; after `TRIES` it is `Lost`, which makes no reward. But if the kernel's turn had begun each time and
did not end in time, it is the kernel that does not end: the verdict is `timeout`.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self

import kernelwright
from kernelwright.rl.training.environment import Lost, Request, confirmed
from kernelwright.rl.training.wire import kernel_json, task_json
from kernelwright.verifier.evaluation import DeviceInfo, Evaluation, Stage, StageStatus, Verdict

__all__ = ["TRIES", "EvaluationPool"]

_log = logging.getLogger(__name__)

TRIES = 3
"""Processes that a kernel is given to. One that ends three of them in a row is not judged: it may be what ends them."""
_CHUNK = 1 << 16
_LARGEST = 256 << 20  # bytes of one answer
_SAID = 400  # characters of the end of standard error that are told
_GRACE_SECONDS = 5.0


class _Failed(Exception):
    """This process will not answer; the message says why."""


class _Stalled(_Failed):
    """It gave no answer in time, and had the kernel in hand."""

    def __init__(self, seconds: float, device: DeviceInfo, stage: str) -> None:
        super().__init__(f"it gave no answer within {seconds:g} s")
        self.seconds, self.device, self.stage = seconds, device, stage


class _Child:
    """One evaluator."""

    def __init__(self, command: Sequence[str], order: Mapping[str, Any]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._read = bytearray()
        paths = [str(Path(kernelwright.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            process_group=0,  # Ctrl-C is for the trainer, which ends its step first
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )
        try:
            self._write(order)
        except _Failed:
            self.kill()
            self.close()
            raise

    def ask(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """The answer to a request.

        Raises:
            _Failed: it died, hung, or answered nonsense.
        """
        self._write(request)
        end = time.monotonic() + seconds
        device, stage = None, ""
        while (line := self._line(end)) is not None:
            try:
                answer = json.loads(line)
                if not isinstance(answer, dict):
                    raise _Failed("its answer was no object")
                if "device" in answer:
                    device = DeviceInfo.model_validate(answer["device"])
                elif "stage" in answer:
                    stage = str(answer["stage"])
                else:
                    return answer
            except ValueError:
                raise _Failed("its answer can't be read") from None
        if device is not None:
            raise _Stalled(seconds, device, stage)
        raise _Failed(f"it gave no answer within {seconds:g} s")

    def close(self) -> None:
        """Asks it to end, by ending its input, and ends it if it does not."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process.stdout.close()
        self._errors.close()

    def kill(self) -> None:
        """Ends it at once; the processes that it started see that and end too."""
        self._process.kill()
        self._process.wait()

    def _write(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            raise _Failed(self._end()) from None

    def _line(self, end: float) -> bytes | None:
        """What it says next; None when it is `end` of the monotonic clock before it has said it."""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._read:
                if not selector.select(max(0.0, end - time.monotonic())):
                    return None
                part = os.read(self._process.stdout.fileno(), _CHUNK)
                if not part:
                    raise _Failed(self._end())
                self._read += part
                if len(self._read) > _LARGEST:
                    raise _Failed(f"its answer has more than {_LARGEST:,} bytes")
        line, _, self._read = self._read.partition(b"\n")
        return bytes(line)

    def _end(self) -> str:
        try:
            code = self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return "it closed its output"
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - _SAID))
        said = " ".join(self._errors.read().decode(errors="replace").split())
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"it {how}" + (f", saying: {said}" if said else "")


class EvaluationPool:
    """Evaluators behind the `Evaluator` protocol; a context manager.

    Args:
        command: what each interpreter is started with, for instance ``("-P", "-m", "kernelwright.training.worker")``.
        order: the first line that each evaluator reads: settings of this machine.
        size: evaluators at work at a time; they are started when there is work.
        seconds: wall time that one evaluation may take, starting the process and opening the task included.
    """

    def __init__(
        self, command: Sequence[str], order: Mapping[str, Any], *, size: int = 1, seconds: float = 900.0
    ) -> None:
        self._command, self._order, self._seconds = tuple(command), dict(order), seconds
        self._idle: SimpleQueue[_Child | None] = SimpleQueue()
        self._busy: set[_Child] = set()
        self._stopped = False
        for _ in range(size):
            self._idle.put(None)
        self._size = size
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="evaluate")

    def evaluate(self, requests: Sequence[Request]) -> Iterator[tuple[int, list[Evaluation] | Lost]]:
        """See `Evaluator`."""
        places = {
            self._threads.submit(confirmed, request, partial(self._one, request)): place
            for place, request in enumerate(requests)
        }
        for done in as_completed(places):
            yield places[done], done.result()

    def close(self, *, at_once: bool = False) -> None:
        """Ends all evaluators, when they have answered or `at_once`."""
        self._stopped = True
        for child in tuple(self._busy) if at_once else ():
            child.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for _ in range(self._size):
            waiting = self._idle.get()
            if waiting is not None:
                waiting.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close(at_once=kind is not None)

    def _one(self, request: Request) -> Evaluation | Lost:
        message = {"task": task_json(request.task), "kernel": kernel_json(request.kernel)}
        why = ""
        stalls: list[_Stalled] = []
        child = self._idle.get()
        try:
            for _ in range(TRIES):
                if self._stopped:
                    return Lost("the pool was closed")
                try:
                    child = child or _Child(self._command, self._order)
                    self._busy.add(child)
                    answer = child.ask(message, self._seconds)
                    if (problem := answer.get("problem")) is None:
                        return self._checked(request, answer)
                    why = str(problem)  # it could not judge, and may be able to after a fresh start
                except (_Failed, OSError) as error:
                    stalls += [error] if isinstance(error, _Stalled) else []
                    why = f"{error}" if isinstance(error, _Failed) else f"it could not be started ({error.strerror})"
                if child is not None:
                    self._busy.discard(child)
                    child.kill()
                    child.close()
                    child = None
                _log.warning("an evaluator failed, and is started anew: %s", why)
            if len(stalls) == TRIES:
                return _endless(request, stalls)
            return Lost(f"{TRIES} evaluators failed, the last because {why}")
        finally:
            if child is not None:
                self._busy.discard(child)
            self._idle.put(child)

    def _checked(self, request: Request, answer: Mapping[str, Any]) -> Evaluation:
        """The evaluation in an answer, if it is one of this kernel on this task."""
        try:
            found = Evaluation.model_validate(answer.get("evaluation"))
        except ValueError as error:
            raise _Failed(f"its answer was no evaluation ({type(error).__name__})") from None
        if (found.task_id, found.kernel_id) != (request.task.id, request.kernel.id):
            raise _Failed("its answer was about another kernel")
        return found


def _endless(request: Request, stalls: Sequence[_Stalled]) -> Evaluation:
    """The verdict on a kernel that took longer than an evaluation may, each time it was tried."""
    last = stalls[-1]
    during = f" It was at: {last.stage}." if last.stage else ""
    return Evaluation(
        task_id=request.task.id,
        kernel_id=request.kernel.id,
        verdict=Verdict.TIMEOUT,
        reason=f"Its evaluation did not end within {last.seconds:g} s, {len(stalls)} times in processes of their own.{during}",
        stages=[
            Stage(
                name=last.stage.partition(",")[0] or "static", status=StageStatus.FAILED, summary="timeout",
                seconds=last.seconds,
            )
        ],
        device=last.device,
        seconds=sum(stall.seconds for stall in stalls),
    )  # fmt: skip
