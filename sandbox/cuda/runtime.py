"""What the worker asks of a GPU: one small Protocol, on torch's CUDA and, for trying the worker without a GPU, on the emulator.

Everything of torch that a measurement rests on is bound here, before a kernel's module is loaded: what that module puts in
its place afterwards is not called. (Its process could be changed in deeper ways, so its times are claims, which the
judge holds against a clock of its own.)
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch

from kernelwright.sandbox.launch import GpuLaunch

__all__ = ["CudaRuntime", "EmulatedRuntime", "HostPins", "Runtime", "launches_of", "open_runtime"]

_FLUSH_SHARE = 2  # times the L2 that is written to empty it
_PATTERN = 0xFF  # of every byte: a NaN in floating-point types, -1 in integers
_EMULATED_SECONDS = 60.0  # of one emulated launch at most
_SPIN_CYCLES_A_SECOND = (
    1.0e9  # torch.cuda._sleep counts SM clocks; at most about 2 GHz, so a spin lasts half a second or more
)


class Runtime(Protocol):
    """A device that tensors lie on and calls run on."""

    device: torch.device

    def properties(self) -> dict[str, Any]:
        """Name, capability, memory and versions, as plain data."""

    def synchronize(self) -> None:
        """Waits for everything on the device, on every stream."""

    def timed(self, work: Callable[[], Any]) -> tuple[Any, Callable[[], float]]:
        """Runs `work`; its result, and what gives the device's seconds for it once all is synchronised."""

    def flush(self) -> None:
        """Empties the L2 cache of everything that matters."""

    def spin(self, seconds: float) -> None:
        """Keeps the device busy for at least this long, so that work queued meanwhile follows without gaps."""

    def poison(self, sizes: list[int]) -> None:
        """Fills memory that the next allocations of so many bytes are likely to get."""

    def launches(self, work: Callable[[], Any]) -> tuple[Any, list[GpuLaunch]]:
        """Runs `work` and says which kernels ran."""

    def pin(self, address: int, nbytes: int) -> str:
        """Locks memory of this process, so that the device copies from and to it by itself; why not, empty if it is done."""

    def unpin(self, address: int) -> None:
        """Undoes `pin`."""


class CudaRuntime:
    """One GPU through torch.

    Raises:
        RuntimeError: as torch words it; `faults.fault_of` says what it means.
    """

    def __init__(self, index: int) -> None:
        cuda = torch.cuda
        cuda.init()
        cuda.set_device(index)
        self.device = torch.device("cuda", index)
        self._synchronize, self._event, self._sleep = cuda.synchronize, cuda.Event, cuda._sleep
        self._record, self._elapsed = cuda.Event.record, cuda.Event.elapsed_time
        self._stream = cuda.current_stream(self.device)
        self._properties = cuda.get_device_properties(index)
        size = max(int(self._properties.L2_cache_size), 1 << 20) * _FLUSH_SHARE
        self._scratch = torch.empty(size, dtype=torch.uint8, device=self.device)
        self._zero = torch.Tensor.zero_
        self._fill = torch.Tensor.fill_
        self._pins = HostPins(cuda.cudart())

    def properties(self) -> dict[str, Any]:
        found = self._properties
        versions = {"torch": torch.__version__, "cuda": str(torch.version.cuda)}
        try:
            import cupy

            versions["cupy"] = cupy.__version__
        except ImportError:
            versions["cupy"] = "not installed"
        return {
            "name": found.name, "uuid": f"GPU-{getattr(found, 'uuid', '')}", "capability": [found.major, found.minor], "sms": found.multi_processor_count,
            "memory_bytes": found.total_memory, "l2_bytes": int(found.L2_cache_size), "versions": versions,
            "tf32": bool(torch.backends.cuda.matmul.allow_tf32),
        }  # fmt: skip

    def synchronize(self) -> None:
        self._synchronize(self.device)

    def timed(self, work: Callable[[], Any]) -> tuple[Any, Callable[[], float]]:
        start, end = self._event(enable_timing=True), self._event(enable_timing=True)
        self._record(start, self._stream)
        made = work()
        self._record(end, self._stream)
        return made, lambda: 1e-3 * float(self._elapsed(start, end))

    def flush(self) -> None:
        self._zero(self._scratch)

    def spin(self, seconds: float) -> None:
        self._sleep(int(seconds * 2 * _SPIN_CYCLES_A_SECOND))

    def poison(self, sizes: list[int]) -> None:
        held = [torch.empty(size, dtype=torch.uint8, device=self.device) for size in sizes if size for _ in range(2)]
        for block in held:
            self._fill(block, _PATTERN)

    def pin(self, address: int, nbytes: int) -> str:
        problem = self._pins.pin(address, nbytes)
        if problem:  # CUDA keeps the error for whoever launches next: that is this one
            with contextlib.suppress(RuntimeError):
                self._fill(self._scratch[:1], _PATTERN)
        return problem

    def unpin(self, address: int) -> None:
        self._pins.unpin(address)

    def launches(self, work: Callable[[], Any]) -> tuple[Any, list[GpuLaunch]]:
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CUDA], acc_events=True) as found:
            made = work()
            self.synchronize()
        handle, path = tempfile.mkstemp(suffix=".json")
        os.close(handle)
        try:
            found.export_chrome_trace(path)
            with open(path, encoding="utf-8") as file:
                return made, launches_of(json.load(file))
        finally:
            os.unlink(path)


class HostPins:
    """Memory of the host that the driver has locked.

    Args:
        cudart: CUDA's runtime as `torch.cuda.cudart()` gives it.
    """

    def __init__(self, cudart: Any) -> None:
        self._register, self._unregister = cudart.cudaHostRegister, cudart.cudaHostUnregister

    def pin(self, address: int, nbytes: int) -> str:
        """Locks it; why it is not, empty if it is."""
        status = int(self._register(address, nbytes, 0))
        return f"cudaHostRegister answers with error {status}" if status else ""

    def unpin(self, address: int) -> None:
        """Undoes it. That fails in a spoilt process only, whose end does it too."""
        self._unregister(address)


def launches_of(trace: dict[str, Any]) -> list[GpuLaunch]:
    """The kernels of a trace in Chrome's format as torch.profiler (Kineto) writes it, in the order in which they began."""
    events = [e for e in trace.get("traceEvents", ()) if e.get("cat") == "kernel" and e.get("ph") == "X"]
    return [_launch(event) for event in sorted(events, key=lambda event: float(event.get("ts", 0)))]


def _launch(event: dict[str, Any]) -> GpuLaunch:
    arguments = event.get("args", {})
    return GpuLaunch.from_json(
        {
            "name": event.get("name", ""),
            "grid": arguments.get("grid", (0, 0, 0)),
            "block": arguments.get("block", (0, 0, 0)),
            "seconds": 1e-6 * float(event.get("dur", 0)),
            "registers": arguments.get("registers per thread", 0),
            "shared_bytes": arguments.get("shared memory", 0),
            "stream": arguments.get("stream", 0),
        }
    )


class EmulatedRuntime:
    """The emulator in a GPU's place, in this process: for trying the worker and its protocol. Its times say nothing."""

    def __init__(self, arch: str) -> None:
        # its imports are no part of the worker on a GPU
        from kernelwright.sandbox import arena
        from kernelwright.sandbox.emulated import recorder, torch_cuda
        from kernelwright.sandbox.emulated.arena_allocator import ArenaAllocator
        from kernelwright.sandbox.emulated.session import Session
        from kernelwright.sandbox.hostcode import extension

        arena.map_private()
        allocator = ArenaAllocator()

        class OnTensors(Session):
            """Launches on the memory of this process's tensors, those of compiled host code included."""

            def launch(self, *arguments: Any) -> Any:
                for address, nbytes in allocator.events():
                    if nbytes:
                        self.memory.register(address, nbytes, "a tensor")
                    else:
                        self.memory.unregister(address)
                return super().launch(*arguments)

        self.device = torch.device("cpu")
        torch_cuda.install()
        self._session = OnTensors(arch, _EMULATED_SECONDS)
        recorder.set_session(self._session)
        sys.path.insert(0, str(Path(recorder.__file__).with_name("shim")))
        with contextlib.suppress(ImportError):  # torch's module for extensions wants setuptools, here as on a GPU
            extension.install(self._session)

    def properties(self) -> dict[str, Any]:
        return {
            "name": "the emulator in a GPU's place", "capability": [0, 0], "sms": 1, "memory_bytes": 0, "l2_bytes": 1 << 20,
            "versions": {"torch": torch.__version__, "cuda": "none", "cupy": "emulated"}, "tf32": False,
        }  # fmt: skip

    def synchronize(self) -> None:
        pass

    def timed(self, work: Callable[[], Any]) -> tuple[Any, Callable[[], float]]:
        start = time.perf_counter()
        made = work()
        seconds = time.perf_counter() - start
        return made, lambda: seconds

    def flush(self) -> None:
        pass

    def spin(self, seconds: float) -> None:
        pass

    def poison(self, sizes: list[int]) -> None:
        pass

    def pin(self, address: int, nbytes: int) -> str:
        return "there is no driver to pin it"

    def unpin(self, address: int) -> None:
        pass

    def launches(self, work: Callable[[], Any]) -> tuple[Any, list[GpuLaunch]]:
        self._session.take_reports()
        made = work()
        return made, [GpuLaunch(r.kernel, r.grid, r.block, 0.0) for r in self._session.take_reports()]


def open_runtime(kind: str, *, index: int = 0, arch: str = "") -> Runtime:
    """The runtime called `cuda` (the GPU with this index) or `emulated` (for this architecture).

    Raises:
        RuntimeError: no such GPU, as torch words it.
        ValueError: no such runtime.
    """
    if kind == "cuda":
        return CudaRuntime(index)
    if kind == "emulated":
        return EmulatedRuntime(arch)
    raise ValueError(f"no runtime is called {kind!r}")
