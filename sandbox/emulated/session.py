"""The emulated device in this process: programs, and the device process of a candidate."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from kernelwright.sandbox import emulator
from kernelwright.sandbox.emulated.recorder import MemoryHooks, set_session
from kernelwright.sandbox.hostcode.authors import PreludeLines, at_authors_lines
from kernelwright.sandbox.launch import LaunchOptions, LaunchReport

__all__ = ["Session", "open_session"]


class Session:
    """The emulated device in this process.

    Args:
        arch: the architecture to compile for, `sm_90`.
        seconds: wall limit of one launch, in seconds.
        options: how launches are run and what is recorded.
    """

    copying = False

    def __init__(self, arch: str, seconds: float, options: LaunchOptions | None = None) -> None:
        self.arch = arch
        self.memory = emulator.Memory()
        self.limits = emulator.LaunchLimits(seconds=seconds, options=options or LaunchOptions())
        self._default_stack = self.limits.stack_bytes
        self.reports: list[LaunchReport] = []
        self.suppressed = False
        """While set, launches do nothing: the judge asks what the outputs are without them."""
        self._lock = threading.Lock()

    def compile(self, source: str, options: Sequence[str], name_expressions: Sequence[str]) -> emulator.Module:
        """CUDA C++ to a module of the emulator.

        Raises:
            BuildError, UnsupportedError.
        """
        return emulator.compile(source, tuple(options), arch=self.arch, name_expressions=tuple(name_expressions))

    def launch(
        self,
        module: emulator.Module,
        name: str,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        args: Sequence[Any],
        shared: int,
        lines: PreludeLines | None = None,
    ) -> LaunchReport | None:
        """One launch; its report joins the log. None if launches are suppressed.

        Raises:
            LaunchError: what a GPU would refuse.
        """
        with self._lock:
            if self.suppressed:
                return None
            report = module.launch(name, grid, block, args, shared=shared, memory=self.memory, limits=self.limits)
            if lines is not None:
                report = at_authors_lines(report, lines)
            self.reports.append(report)
            return report

    def memory_hooks(self) -> MemoryHooks:
        """The emulator's table of allocations."""
        table, new, gone = self.memory.c_api()
        blank, written = self.memory.c_api_writes()
        return MemoryHooks(table, new, gone, blank, written)

    def set_limits(self, *, stack_bytes: int, heap_bytes: int) -> None:
        """For the launches to come."""
        self.limits = replace(self.limits, stack_bytes=max(self._default_stack, stack_bytes), heap_bytes=heap_bytes)

    def write(self, address: int, host: int, count: int) -> None:
        """Device memory is this process's."""
        ctypes.memmove(address, host, count)

    def read(self, host: int, address: int, count: int) -> None:
        """Device memory is this process's."""
        ctypes.memmove(host, address, count)

    def copy(self, to: int, origin: int, count: int) -> None:
        """Device memory is this process's."""
        ctypes.memmove(to, origin, count)

    def fill(self, to: int, value: int, count: int) -> None:
        """Device memory is this process's."""
        ctypes.memset(to, value, count)

    def expose(self, address: int, nbytes: int, name: str) -> None:
        """Registers the variable's memory."""
        self.memory.register(address, nbytes, name)

    def take_reports(self) -> list[LaunchReport]:
        """The log since the last call, emptied."""
        with self._lock:
            taken, self.reports = self.reports, []
        return taken


def open_session(arch: str, seconds: float, options: LaunchOptions | None = None) -> Session:
    """Makes this process's session, emulating here; a worker does so once, before it loads a kernel."""
    session = Session(arch, seconds, options)
    set_session(session)
    return session
