"""A candidate's processes, and a pair of them started ahead: Python and torch are imported while the judge is busy."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from kernelwright.sandbox import arena
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.device_process import DeviceProcess
from kernelwright.sandbox.process import Limits, Worker

__all__ = ["Processes", "Spares", "StartProcesses", "start_processes"]

_WORKER = "kernelwright.sandbox.candidate_worker"


@dataclass(frozen=True)
class Processes:
    """What one candidate runs in. Neither knows of a kernel or a task when it starts."""

    gpu: DeviceProcess
    worker: Worker

    @property
    def running(self) -> bool:
        """Whether both can be asked."""
        return self.gpu.running and self.worker.running

    def close(self) -> None:
        """Ends them."""
        self.worker.close()
        self.gpu.close()


StartProcesses = Callable[[], Processes]


def start_processes(device: Device, limits: Limits) -> Processes:
    """Starts a pair, without waiting until they can be asked.

    Raises:
        SandboxError, OSError: they do not start.
    """
    gpu = DeviceProcess(device, limits)
    try:
        worker = Worker(
            _WORKER,
            name="the candidate",
            limits=limits,
            isolation=device.isolation,
            environment={"KERNELWRIGHT_MEMORY_BYTES": str(limits.memory_bytes + arena.SIZE)},
        )
    except BaseException:
        gpu.close()
        raise
    return Processes(gpu, worker)


class Spares:
    """One pair that waits for the next candidate; every candidate still gets processes that nobody has used.

    Args:
        last: the first pair is the only one, as for a single verdict.
    """

    def __init__(self, device: Device, limits: Limits, *, last: bool = False) -> None:
        self._device, self._limits = device, limits
        # without a sandbox a candidate could reach for the one that waits
        self._more = not last and device.isolation != "process"
        self._lock = threading.Lock()
        self._waiting: Processes | None = start_processes(device, limits)

    def take(self) -> Processes:
        """The pair that waits, or a new one; the caller closes it. The next one starts.

        Raises:
            SandboxError, OSError: they do not start.
        """
        with self._lock:
            found, self._waiting = self._waiting, None
            if found is not None and not found.running:  # it ended with the thread that had started it, for instance
                found.close()
                found = None
            found = found or start_processes(self._device, self._limits)
            if self._more:
                try:
                    self._waiting = start_processes(self._device, self._limits)
                except BaseException:
                    found.close()
                    raise
            return found

    def close(self) -> None:
        """Ends the pair that waits."""
        with self._lock:
            self._more = False
            if self._waiting is not None:
                self._waiting.close()
                self._waiting = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
