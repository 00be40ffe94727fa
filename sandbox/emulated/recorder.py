"""What host code sees of the emulated device: compile, launch, copy.

`DeviceSession` is what the `cupy` shim and compiled host code talk to. `session.Session` emulates in this process and keeps
the reports (programs, and the device process of a candidate); `remote.RemoteSession` asks the device process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kernelwright.sandbox.hostcode.authors import PreludeLines
from kernelwright.sandbox.launch import KernelResources, LaunchReport

__all__ = ["CompiledModule", "DeviceSession", "Lowered", "MemoryHooks", "current", "set_session"]


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


_session: DeviceSession | None = None


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
