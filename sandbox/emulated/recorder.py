"""Who keeps what the launches of one call did; the `cupy` shim writes, the candidate worker reads.

One `Session` per worker process holds the emulator's memory table, the target architecture and the launch log.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from kernelwright.sandbox import emulator
from kernelwright.sandbox.launch import LaunchOptions, LaunchReport

__all__ = ["Session", "current", "open_session"]


class Session:
    """The emulated device of this process.

    Args:
        arch: the architecture to compile for, `sm_90`.
        seconds: wall limit of one launch, in seconds.
        options: how launches are run and what is recorded.
    """

    def __init__(self, arch: str, seconds: float, options: LaunchOptions | None = None) -> None:
        self.arch = arch
        self.memory = emulator.Memory()
        self.limits = emulator.LaunchLimits(seconds=seconds, options=options or LaunchOptions())
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
    ) -> None:
        """One launch; its report joins the log.

        Raises:
            LaunchError: what a GPU would refuse.
        """
        with self._lock:
            if self.suppressed:
                return
            self.reports.append(
                module.launch(name, grid, block, args, shared=shared, memory=self.memory, limits=self.limits)
            )

    def take_reports(self) -> list[LaunchReport]:
        """The log since the last call, emptied."""
        with self._lock:
            taken, self.reports = self.reports, []
        return taken


_session: Session | None = None


def open_session(arch: str, seconds: float, options: LaunchOptions | None = None) -> Session:
    """Makes this process's session; a worker does so once, before it loads a kernel."""
    global _session
    _session = Session(arch, seconds, options)
    return _session


def current() -> Session:
    """This process's session.

    Raises:
        RuntimeError: this is no emulated worker.
    """
    if _session is None:
        raise RuntimeError("this process is no emulated worker")
    return _session
