"""What every isolation offers: a Protocol, what a worker is started with, and what is known of one that runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

__all__ = ["Caps", "Isolation", "Order", "Running"]


@dataclass(frozen=True)
class Caps:
    """The most that a worker and everything it starts may use together."""

    memory_bytes: int
    """Resident memory with the files in its scratch, in bytes; where a backend can limit it."""
    processes: int
    """Processes and threads."""
    scratch_bytes: int
    """Files under its /tmp, and under its /dev/shm, in bytes each; where a backend can limit them."""


@dataclass(frozen=True)
class Order:
    """A worker to be started."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    """All of it: nothing is inherited."""
    fds: tuple[int, ...]
    """Descriptors that it gets under the same numbers, besides 0 to 2; no others."""
    output: int
    """Descriptor of its standard output and error."""
    scratch: Path
    """A folder of this worker's on the host; `Isolation.home` says where its own files go."""
    caps: Caps
    readable: tuple[Path, ...] = ()
    """Folders it may read besides the system and Python."""
    writable: tuple[Path, ...] = ()
    """Folders it may write besides its own; for a trusted worker only."""
    trusted: bool = False
    """Whether it runs only code that we or the person who runs us wrote; such a one keeps its system calls
    where nothing else fences it in."""
    gpu: bool = False
    """Whether it may use the machine's GPUs."""
    rlimits: Mapping[str, int] = field(default_factory=dict)
    """Soft and hard limit by name (`RLIMIT_NPROC`), set before its program starts."""


class Running(Protocol):
    """A worker that was started."""

    @property
    def pid(self) -> int:
        """A process id on the host: the worker's, or that of the sandbox around it."""

    def wait(self, timeout: float) -> int:
        """Its exit code, as `subprocess` gives it or 128 and the signal.

        Args:
            timeout: in seconds.

        Raises:
            TimeoutError: it still runs.
        """

    def kill(self) -> str:
        """Ends it and everything it started, and removes what was set up for it; may be called again.

        Returns:
            What it ran into, where the kernel says so ("it used more than 2.0 GiB of memory"); else "".
        """


class Isolation(Protocol):
    """One way to fence a worker in."""

    @property
    def name(self) -> str:
        """As in the settings."""

    def problem(self) -> str:
        """Why it can't be used here; the empty string if it can."""

    def active(self) -> tuple[str, ...]:
        """For people: which of its parts work on this machine, and which don't."""

    def home(self, scratch: Path) -> Path:
        """Where a worker's own files go, as the worker sees it."""

    def start(self, order: Order) -> Running:
        """Starts a worker.

        Raises:
            OSError, SandboxError: it does not start.
        """
