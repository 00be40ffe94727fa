"""Where kernels are judged for clients: one at a time, in one thread that keeps the last task open between kernels.

All worker processes are started by that thread, which lives as long as the bench: a worker ends with the thread that
started it. When a call is cancelled (its client says so, or is gone), the processes are killed, and what the thread was
doing ends by that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Self, TypeVar

import anyio

from kernelwright.bench_tasks.task import Task
from kernelwright.config import Settings
from kernelwright.errors import KernelwrightError
from kernelwright.events import Event, Note, Observer, StageFinished, StageStarted
from kernelwright.jobs import evaluate_opened, resolve_target
from kernelwright.launches import PythonKernel, findings
from kernelwright.mcp.answers import Profiled, cut, kernel_cost
from kernelwright.opening import open_reference
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.launch import LaunchOptions
from kernelwright.sandbox.process import Watch, watched
from kernelwright.sandbox.reference import Reference
from kernelwright.sandbox.spares import Spares
from kernelwright.verifier.evaluation import Evaluation
from kernelwright.verifier.model.kernel_profile import profile_kernels
from kernelwright.words import duration

__all__ = ["MOST_WAITING", "Bench", "Busy", "Report"]

_log = logging.getLogger(__name__)

MOST_WAITING = 8
"""Calls in all: one is worked on, the others wait."""
_IDLE_SECONDS = 300.0
"""After which the processes that are kept ready (some 600 MB) are ended; starting them again takes three seconds."""
_KILL_AGAIN_SECONDS = 0.5
"""A cancelled call may just have started a process that the last round of kills did not see."""

Result = TypeVar("Result")
Report = Callable[[str], Awaitable[None]]
"""Tells a client one line of progress."""


class Busy(KernelwrightError):
    """Too many calls wait already."""


class _Cancelled(Exception):
    """Ends the work of the thread at its next event."""


class _Job:
    """One call under way, as the thread sees it."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell
        self.cancelled = False

    def __call__(self, event: Event) -> None:
        self.check()
        self._tell(event)

    def check(self) -> None:
        if self.cancelled:
            raise _Cancelled


class Bench:
    """Judges and profiles kernels on one target; a context manager, which ends every process at its end.

    Raises:
        NotFoundError, ConfigError: the GPU, device or isolation of the settings can't be used.
    """

    def __init__(self, settings: Settings) -> None:
        self.target = resolve_target(settings)
        self.settings = settings.model_copy(update={"gpu": self.target.gpu.name})
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kernelwright-judge")
        self._watch = Watch()
        self._turn = anyio.Lock()
        self._calls = 0
        self._closed = False
        self._idle: asyncio.TimerHandle | None = None
        self._reference: Reference | None = None
        self._spares: Spares | None = None

    # -- for the tools, in the thread of the server's event loop --------------------------------------------------

    async def run(self, work: Callable[[Observer], Result], report: Report) -> Result:
        """What `work` returns, which runs in the judging thread, after those that came before.

        Args:
            work: gets an observer that raises once the call is cancelled.
            report: told each event in words, and first how many calls are before this one.

        Raises:
            Busy: `MOST_WAITING` calls are there already.
        """
        if self._calls >= MOST_WAITING:
            raise Busy(
                f"{self._calls} calls are judged or wait already; one kernel is judged at a time.",
                mend="Wait for one of them to end, then call again.",
            )
        self._calls += 1
        try:
            if self._calls > 1:
                before = self._calls - 1
                await report(f"waiting: {before} {'call is' if before == 1 else 'calls are'} before this one")
            async with self._turn:
                return await self._run(work, report)
        finally:
            self._calls -= 1

    async def _run(self, work: Callable[[Observer], Result], report: Report) -> Result:
        loop = asyncio.get_running_loop()
        if self._idle is not None:
            self._idle.cancel()
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        job = _Job(lambda event: _soon(loop, events, event))
        future = loop.run_in_executor(self._thread, self._work, work, job)
        future.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                if words := _words(event):
                    await report(words)
            return await future
        except BaseException:
            if not future.done():
                job.cancelled = True
                with anyio.CancelScope(shield=True):
                    await self._end(future)
            raise
        finally:
            self._idle = loop.call_later(_IDLE_SECONDS, self._thread_drops)

    async def _end(self, future: asyncio.Future[Result]) -> None:
        while not future.done():
            await asyncio.to_thread(self._watch.end)
            await asyncio.wait([future], timeout=_KILL_AGAIN_SECONDS)
        if not future.cancelled() and not isinstance(future.exception(), _Cancelled):
            _log.debug("a cancelled call ended with %r", future.exception())

    def _thread_drops(self) -> None:
        with suppress(RuntimeError):  # the thread has ended
            self._thread.submit(self._drop)

    # -- in the judging thread ------------------------------------------------------------------------------------

    def _work(self, work: Callable[[Observer], Result], job: _Job) -> Result:
        with watched(self._watch):
            try:
                result = work(job)
                job.check()
            except BaseException:
                self._drop()  # whatever state its processes are in, the next kernel gets others
                raise
            return result

    def judge(self, task: Task, kernel: Kernel, observer: Observer) -> Evaluation:
        """Judges a kernel; to be called in `work`.

        Raises:
            TaskError: the reference does not run, or is no function of its inputs.
        """
        if self._spares is None:
            self._spares = Spares(self.target.device, self.target.limits)
        reference = self._opened(task, observer)
        found = evaluate_opened(task, self.target, reference, self._spares, kernel, observer)
        observer(Note(""))  # a call that was cancelled while its processes were killed has no verdict
        return found

    def profile(self, task: Task, kernel: Kernel, observer: Observer) -> Profiled:
        """Calls a kernel once on the task's own inputs, with counters by line; to be called in `work`.

        Raises:
            TaskError: the reference does not run.
            BuildError, UnsupportedError, LaunchError, SandboxError: the kernel does not.
        """
        observer(StageStarted("profile"))
        (done,) = PythonKernel(task, kernel).runs(self.settings, [LaunchOptions(profile_lines=True)])
        told = [
            f"{each.kernel}: {each.violation.kind} at line {each.violation.line}: {cut(each.violation.message)}"
            for each in findings([("forward", done.reports)])
        ]
        return Profiled(
            task=task.name,
            kernel_id=kernel.id,
            gpu=self.target.gpu.name,
            kernels=[kernel_cost(each) for each in profile_kernels(done.reports, self.target.gpu)],
            violations=told,
        )

    def _opened(self, task: Task, observer: Observer) -> Reference:
        kept = self._reference
        if kept is not None and (kept.task.id, kept.task.path) == (task.id, task.path):
            return kept
        if kept is not None:
            self._reference = None
            kept.close()
        self._reference = open_reference(task, self.target.limits, observer)
        return self._reference

    def _drop(self) -> None:
        """Ends the processes that are kept ready."""
        reference, spares = self._reference, self._spares
        self._reference = self._spares = None
        if reference is not None:
            reference.close()
        if spares is not None:
            spares.close()

    # -- its end --------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Ends the thread and every process; more than once does no more."""
        if self._closed:
            return
        self._closed = True
        ended: Future[None] = self._thread.submit(self._drop)
        while not ended.done():
            with suppress(TimeoutError):
                ended.result(_KILL_AGAIN_SECONDS)
                break
            self._watch.end()
        self._thread.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _soon(loop: asyncio.AbstractEventLoop, events: asyncio.Queue[Event | None], event: Event) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody listens any more
        loop.call_soon_threadsafe(events.put_nowait, event)


def _words(event: Event) -> str:
    """One line of progress; empty for what is none."""
    match event:
        case StageStarted(stage=stage):
            return stage
        case StageFinished(stage=stage, status=status, summary=summary, seconds=seconds):
            return f"{stage} {status} in {duration(seconds)}: {summary}"
        case Note(text=text):
            return text
    return ""
