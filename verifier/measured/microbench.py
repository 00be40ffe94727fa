"""The micro-benchmarks of the performance model on a GPU: what they take there, beside what the emulator counts.

This is what `kernelwright calibrate` fits the model's constants to where there is a GPU.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import torch

from kernelwright.sandbox import emulator
from kernelwright.sandbox.cuda.gpu_process import GpuProcess, Program
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.launch import LaunchReport
from kernelwright.sandbox.process import Limits
from kernelwright.sandbox.reference import InitState
from kernelwright.verifier.model.microbenchmarks import Array, Microbenchmark, host_arguments
from kernelwright.verifier.model.samples import Sample, sample_of

__all__ = ["measure_microbenchmarks"]

_CALLS = 40  # timed launches of each
_SPIN = 0.02  # seconds that the GPU is kept busy first, so that launches follow each other

_MODULE = """
import json

import cupy
import numpy
import torch

BENCHMARKS = json.loads({specs!r})


def argument(spec):
    if "value" in spec:
        return numpy.dtype(spec["dtype"]).type(spec["value"])
    dtype = getattr(torch, spec["dtype"])
    if spec["fill"] == "ramp":
        return (torch.arange(spec["elements"], device="cuda") % 16).to(dtype)
    return torch.zeros(spec["elements"], dtype=dtype, device="cuda")


class Bench(torch.nn.Module):
    def __init__(self, number):
        super().__init__()
        spec = BENCHMARKS[number]
        self.kernel = cupy.RawKernel(spec["source"], spec["kernel"])
        self.grid, self.block, self.shared = tuple(spec["grid"]), tuple(spec["block"]), spec["dynamic_shared"]
        self.kept = [argument(each) for each in spec["arguments"]]
        self.arguments = tuple(each.data_ptr() if isinstance(each, torch.Tensor) else each for each in self.kept)

    def forward(self, x):
        self.kernel(self.grid, self.block, self.arguments, shared_mem=self.shared)
        return x
"""


def measure_microbenchmarks(
    benchmarks: Sequence[Microbenchmark],
    device: Device,
    *,
    driver: str,
    now: Callable[[], datetime],
    limits: Limits | None = None,
    calls: int = _CALLS,
    runtime: str = "cuda",
    progress: Callable[[int, str], None] = lambda number, name: None,
) -> list[Sample]:
    """Runs each on the GPU, one launch after the other with an L2 cache that was emptied before, and counts it on the emulator.

    Args:
        driver: its version, for the samples.
        calls: timed launches of each, at least two; a quarter as many come first.
        runtime: as `GpuProcess` has it.
        progress: told the number and the name of each before it runs.

    Raises:
        GpuError, BaselineFailed: the GPU does not do it.
        EmulatorError: the emulator does not.
    """
    program = Program(_MODULE.format(specs=json.dumps([_spec(each) for each in benchmarks])), "Bench", trusted=True)
    found = []
    with GpuProcess(program, device, limits=limits, runtime=runtime) as process:
        name = str(process.open()["name"])
        process.load()
        for number, each in enumerate(benchmarks):
            progress(number, each.name)
            process.build(InitState([number], {}), seed=0)
            process.stage([[torch.zeros(1)]])
            process.repeat([0] * (calls // 4), cold=False, fresh=False, compiling=True)
            seconds = process.repeat([0] * calls, cold=True, fresh=False, spin=_SPIN).seconds
            found.append(
                sample_of(
                    counted(each, device.arch),
                    gpu=name,
                    driver=driver,
                    date=now(),
                    source=each.name.split()[0],
                    seconds=statistics.median(seconds),
                    repeats=len(seconds),
                    standard_error=statistics.stdev(seconds) / math.sqrt(len(seconds)),
                )
            )
    return found


def counted(benchmark: Microbenchmark, arch: str) -> LaunchReport:
    """What the emulator counts of it."""
    module = emulator.compile(benchmark.source, arch=arch)
    return module.launch(
        benchmark.kernel, benchmark.grid, benchmark.block, host_arguments(benchmark), shared=benchmark.dynamic_shared
    )


def _spec(benchmark: Microbenchmark) -> dict[str, Any]:
    rows = [asdict(each) | ({} if isinstance(each, Array) else {"fill": ""}) for each in benchmark.arguments]
    return {**asdict(benchmark), "arguments": rows}
