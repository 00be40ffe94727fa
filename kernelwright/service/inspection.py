"""Looks at a module that somebody wants to submit, before anything is searched for: does it load, what are its shapes, which operations
has it, which of them can be lowered. Its code runs in a fence, with no memory for its tensors.
"""

from __future__ import annotations

import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.bench_tasks.literals import refuse_misspelt
from kernelwright.bench_tasks.reading import with_own_twin
from kernelwright.bench_tasks.suite import SuiteTask
from kernelwright.bench_tasks.task import Task
from kernelwright.bench_tasks.twin import scaled_down
from kernelwright.config import Settings
from kernelwright.errors import KernelwrightError, LoweringError, TaskError
from kernelwright.sandbox.isolation import choose_isolation
from kernelwright.sandbox.probe import Probe, Prober, ProbeStatus
from kernelwright.sandbox.process import Limits
from kernelwright.sandbox.reference import Reference

__all__ = ["Busy", "Inspector", "Lowering", "Opened", "open_source"]

_SECONDS, _WALL_SECONDS = 20, 60
"""What one look at a module's shapes may take, of processor time and by the clock."""
_MOST_WAITING = 8
"""People who wait for their look at a time; one takes a fraction of a second, seldom some seconds."""
_KEPT = 256
"""Looks whose results are kept, some kilobytes each."""

Found = TypeVar("Found")


class Busy(KernelwrightError):
    """Too many are waiting."""


@dataclass(frozen=True)
class Opened:
    """A module, read, and what a look at it found."""

    task: Task
    probe: Probe

    def at(self, scale: str, *, gpu: bool) -> Task:
        """The task at a scale: `full`, `twin`, or `auto`, which is `twin` where the emulator needs it.

        Raises:
            TaskError: it does not load, or has no smaller sizes and needs them.
        """
        probe = self.probe
        if probe.status is ProbeStatus.NOT_LOADED:
            raise TaskError(probe.why, mend=probe.mend)
        if scale == "full" or (scale == "auto" and gpu):
            return self.task
        if probe.status is ProbeStatus.NO_TWIN:
            raise TaskError(f"it has no sizes at which the emulator can judge it: {probe.why}", mend=probe.mend)
        return scaled_down(self.task, probe.twin) if probe.twin else self.task


@dataclass(frozen=True)
class Lowering:
    """What the built-in coder could write of a module."""

    operations: tuple[str, ...]
    """ATen operations in order, repeats included."""
    kernels: tuple[str, ...]
    """Functions that it would write, in launch order."""
    stays_in_torch: tuple[str, ...]
    """Operations that it would leave to torch."""
    problem: str = ""
    """Why it can write nothing; empty where it can."""
    mend: str = ""


def open_source(source: str, *, name: str) -> SuiteTask:
    """A task from a submitted text, with the smaller sizes that it says it has. Nothing of it is run.

    Raises:
        TaskError: it is no task; with the line, where one is to blame.
    """
    task = task_from_source(source, name=name)
    with tempfile.TemporaryDirectory(prefix="kernelwright-") as folder:
        path = Path(folder) / f"{name}.py"
        path.write_text(source, encoding="utf-8")
        try:
            refuse_misspelt_in(source)
            found = with_own_twin(task, path)
        except TaskError as error:
            raise TaskError(error.message.replace(str(path), path.name), mend=error.mend, line=error.line) from error
    return SuiteTask(name, task, twin=found.twin)


def refuse_misspelt_in(source: str) -> None:
    """See `kernelwright.bench_tasks.literals.refuse_misspelt`."""
    import ast

    refuse_misspelt(ast.parse(source), None)


class Inspector:
    """Looks at one module at a time, in a process that is kept ready; a context manager.

    Args:
        seconds: of processor time that one look at its shapes may take; there are some of them where sizes are looked for.
        wall_seconds: the same by the clock.

    Raises:
        ConfigError: nothing here can fence a stranger's code in.
    """

    def __init__(self, settings: Settings, *, seconds: int = _SECONDS, wall_seconds: int = _WALL_SECONDS) -> None:
        self._fence = choose_isolation(settings.isolation)
        self._limits = Limits(call_seconds=min(settings.call_seconds, seconds), memory_bytes=settings.memory_bytes)
        self._prober = Prober(fence=self._fence, limits=self._limits, seconds=seconds, wall_seconds=wall_seconds)
        self._one = threading.Lock()
        self._waiting = threading.BoundedSemaphore(_MOST_WAITING)
        self._probes: OrderedDict[str, Probe] = OrderedDict()
        self._lowerings: OrderedDict[str, Lowering] = OrderedDict()

    def warm(self) -> None:
        """Starts the process, which takes some seconds."""
        with self._one:
            self._prober.warm()

    def look(self, source: str, *, name: str) -> Opened:
        """Reads a module and opens it in the fence; what does not load is told in the probe.

        Raises:
            TaskError: the text is no task.
            Busy: too many others are waiting.
        """
        known = open_source(source, name=name)
        probe = self._kept(self._probes, known.task.id, lambda: self._prober.probe(known.task, known.twin))
        return Opened(known.task, probe)

    def lowering(self, task: Task) -> Lowering:
        """What the built-in coder could write of a task that loads, at sizes that fit.

        Raises:
            TaskError: it can't be run.
            Busy: too many others are waiting.
        """
        return self._kept(self._lowerings, task.id, lambda: self._lowered(task))

    def _lowered(self, task: Task) -> Lowering:
        from kernelwright.agents.builtin.lower import lower

        with Reference(task, limits=self._limits, fence=self._fence) as reference:
            if reference.wanted is not None:
                why = (
                    "The task asks for gradients (BACKWARD = True), and the built-in coder writes forward kernels only."
                )
                return Lowering((), (), (), why, "Choose a language model as coder.")
            graph = reference.capture()
        operations = tuple(node.op for node in graph.nodes)
        try:
            lowered = lower(graph)
        except LoweringError as error:
            return Lowering(operations, (), operations, error.message, error.mend)
        return Lowering(operations, tuple(each.name for each in lowered.kernels), lowered.stays_in_torch)

    def _kept(self, kept: OrderedDict[str, Found], key: str, find: Callable[[], Found]) -> Found:
        if key in kept:
            return kept[key]
        if not self._waiting.acquire(blocking=False):
            raise Busy("Many modules are being looked at.", mend="Try again in some seconds.")
        try:
            with self._one:
                if key not in kept:
                    kept[key] = find()
                    while len(kept) > _KEPT:
                        kept.popitem(last=False)
                return kept[key]
        finally:
            self._waiting.release()

    def close(self) -> None:
        """Ends the process."""
        with self._one:
            self._prober.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def counted(operations: Sequence[str]) -> dict[str, int]:
    """Operations with how often each is there, in the order of their first."""
    found: dict[str, int] = {}
    for each in operations:
        found[each] = found.get(each, 0) + 1
    return found
