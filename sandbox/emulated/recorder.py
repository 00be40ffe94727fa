"""What host code sees of the emulated device: compile, launch, copy.

`DeviceSession` is what the `cupy` shim and compiled host code talk to. `Session` emulates in this process and keeps the
reports (programs, and the device process of a candidate); `remote.RemoteSession` asks the device process.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from kernelwright.sandbox import emulator
from kernelwright.sandbox.hostcode.authors import PreludeLines, at_authors_lines
from kernelwright.sandbox.launch import KernelResources, LaunchOptions, LaunchReport

__all__ = ["CompiledModule", "DeviceSession", "MemoryHooks", "Session", "current", "open_session", "set_session"]


class Lowered(Protocol):
    """What the compiler made of names."""

    @property
    def lowered_names(self) -> Mapping[str, str]:
        """Mangled names by name expression."""


class CompiledModule(Protocol):
    """A compiled CUDA source."""

    @property
    def kernels(self) -> tuple[str, ...]:
        """Names of its kernels."""

    @property
    def resources(self) -> Mapping[str, KernelResources]:
        """What ptxas says about each."""

    @property
    def build(self) -> Lowered:
        """Names by expression."""

    def global_pointer(self, name: str) -> tuple[int, int]:
        """(device address, bytes) of a variable."""


@dataclass(frozen=True)
class MemoryHooks:
    """Addresses of C functions for allocators in compiled host code; 0 where there is none (see hostcode/runtime/abi.hpp)."""

    table: int = 0
    told_new: int = 0
    told_gone: int = 0
    told_blank: int = 0
    told_written: int = 0
    allocate: int = 0
    release: int = 0


class DeviceSession(Protocol):
    """The emulated device, as host code of this process uses it."""

    arch: str
    copying: bool
    """Whether copies of compiled host code must pass through `copy` and `fill`."""

    def compile(self, source: str, options: Sequence[str], name_expressions: Sequence[str]) -> CompiledModule:
        """CUDA C++ to a module. Raises BuildError, UnsupportedError."""

    def launch(
        self, module: Any, name: str, grid: tuple[int, int, int], block: tuple[int, int, int], args: Sequence[Any],
        shared: int, lines: PreludeLines | None = None,
    ) -> LaunchReport | None:  # fmt: skip
        """One launch; its report, where this process may know it. Raises LaunchError.

        `lines` says where the lines of the module's text lie in what its author wrote.
        """

    def memory_hooks(self) -> MemoryHooks:
        """For allocators in compiled code."""

    def set_limits(self, *, stack_bytes: int, heap_bytes: int) -> None:
        """What cudaDeviceSetLimit asks for; the stack gets no smaller than the emulator's default."""

    def write(self, address: int, host: int, count: int) -> None:
        """Copies `count` bytes at the host address `host` into the device's memory."""

    def read(self, host: int, address: int, count: int) -> None:
        """Copies `count` bytes of the device's memory to the host address `host`."""

    def copy(self, to: int, origin: int, count: int) -> None:
        """Copies bytes between addresses that may be the device's or the host's."""

    def fill(self, to: int, value: int, count: int) -> None:
        """Sets `count` bytes of the device's memory."""

    def expose(self, address: int, nbytes: int, name: str) -> None:
        """Lets kernels of other modules reach a variable of the device."""


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
        self.limits = replace(
            self.limits, stack_bytes=max(self._default_stack, stack_bytes), heap_bytes=heap_bytes
        )

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


_session: DeviceSession | None = None


def open_session(arch: str, seconds: float, options: LaunchOptions | None = None) -> Session:
    """Makes this process's session, emulating here; a worker does so once, before it loads a kernel."""
    session = Session(arch, seconds, options)
    set_session(session)
    return session


def set_session(session: DeviceSession) -> None:
    """Makes `session` this process's."""
    global _session
    _session = session


def current() -> DeviceSession:
    """This process's session.

    Raises:
        RuntimeError: this is no emulated worker.
    """
    if _session is None:
        raise RuntimeError("this process is no emulated worker")
    return _session
