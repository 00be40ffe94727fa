"""What the worker reads of the tools: a Kineto trace, NVML's figures."""

from __future__ import annotations

from typing import Any

import pytest

from kernelwright.sandbox.cuda.clocks import Clocks
from kernelwright.sandbox.cuda.runtime import launches_of


def event(name: str, ts: float, cat: str = "kernel", **more: Any) -> dict[str, Any]:
    arguments = {
        "grid": [4, 1, 1],
        "block": [128, 1, 1],
        "registers per thread": 32,
        "shared memory": 1024,
        "stream": 7,
    }
    return {"ph": "X", "cat": cat, "name": name, "ts": ts, "dur": 12.5, "args": arguments | more}


def test_kernels_of_a_trace_come_in_the_order_in_which_they_began() -> None:
    trace = {
        "schemaVersion": 1,
        "traceEvents": [
            event("second(float*)", 20.0),
            event("cudaLaunchKernel", 1.0, cat="cuda_runtime"),
            event("Memcpy HtoD", 2.0, cat="gpu_memcpy"),
            {"ph": "M", "name": "process_name", "args": {"name": "python"}},
            event("first", 10.0, grid=[2, 3, 1]),
        ],
    }
    first, second = launches_of(trace)
    assert (first.name, first.grid, first.block) == ("first", (2, 3, 1), (128, 1, 1))
    assert (second.name, second.registers, second.shared_bytes, second.stream) == ("second(float*)", 32, 1024, 7)
    assert second.seconds == pytest.approx(12.5e-6)
    assert launches_of({}) == []


class Nvml:
    """NVML as nvidia-ml-py has it: a throttled GPU that does not tell its power."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0
    ended = False

    def nvmlInit(self) -> None:
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid != "GPU-1":
            raise RuntimeError("Not Found")
        return "handle"

    def nvmlDeviceGetClockInfo(self, handle: str, which: int) -> int:
        return {1: 1980, 2: 3201}[which]

    def nvmlDeviceGetTemperature(self, handle: str, which: int) -> int:
        return 45

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:
        raise RuntimeError("Not Supported")

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: str) -> int:
        return 0x04 | 0x01

    def nvmlShutdown(self) -> None:
        self.ended = True


def test_clocks_are_read_and_what_is_not_told_is_left_out() -> None:
    library = Nvml()
    clocks = Clocks("GPU-1", library)
    assert clocks.problem == ""
    assert clocks.read() == {
        "sm_hz": 1.98e9, "memory_hz": 3.201e9, "celsius": 45, "throttled": ["software power cap"],
    }  # fmt: skip
    clocks.close()
    assert library.ended
    assert clocks.read() == {}


def test_an_unknown_gpu_is_said() -> None:
    clocks = Clocks("GPU-2", Nvml())
    assert clocks.problem == "NVML does not answer: Not Found"
    assert clocks.read() == {}
