"""What `verify` does with the settings for a GPU, on a machine that seems to have one: the emulator runs in its place."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.config import load_settings
from kernelwright.jobs import verify_task
from kernelwright.sandbox import device as devices
from kernelwright.sandbox.cuda.driver import DriverGpu
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Verdict
from kernelwright.verifier.measured import gpu_stages

TASK = task_from_source(
    """
import torch
class Model(torch.nn.Module):
    def forward(self, x):
        return x * 2
def get_inputs():
    return [torch.rand(64)]
def get_init_inputs():
    return []
""",
    name="twice",
)
KERNEL = '''
import cupy
import torch

K = cupy.RawKernel(r"""extern "C" __global__ void twice(const float* x, float* y) { y[threadIdx.x] = 2.f * x[threadIdx.x]; }""", "twice")


class ModelNew(torch.nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        K((1,), (64,), (x, y))
        return y
'''


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """A driver that shows an H200, and its worker on the emulated runtime with products that a CPU can do."""
    gpu = DriverGpu(0, "NVIDIA H200", "GPU-1", (9, 0), 132, 1 << 37, 50 << 20, 1.98e9, 3.2e9, 6144, True, "13.0")
    monkeypatch.setattr(devices, "cuda_problem", lambda: "")
    monkeypatch.setattr(devices, "gpus", lambda: (gpu,))
    monkeypatch.setattr(devices, "version", lambda package: "2.13.0+cu130")
    products = (("float32", 64), ("float16", 64))
    emulated = partial(gpu_stages.GpuOptions, runtime="emulated", products=products)
    monkeypatch.setattr(gpu_stages, "GpuOptions", emulated)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tools", "stages"),
    [
        pytest.param((), set(), marks=pytest.mark.long),
        (("racecheck", "memcheck"), {"gpu sanitise"}),
        pytest.param(("ncu",), {"gpu profile"}, marks=pytest.mark.long),
    ],
)
def test_verify_runs_the_tools_that_the_setting_names(tools: tuple[str, ...], stages: set[str]) -> None:
    settings = load_settings(
        device="cuda", isolation="process", gpu_tools=tools, baselines=("eager",), timing_seconds=1.0
    )
    found = verify_task(TASK, Kernel(KERNEL, "t"), settings, store=None, observer=lambda event: None)
    assert found.verdict is Verdict.PASSED, found.reason
    names = {stage.name for stage in found.stages}
    assert "gpu timing" in names
    assert names & {"gpu sanitise", "gpu profile"} == stages
    for stage in found.stages:
        if stage.name == "gpu sanitise":  # in its own order; where it is not installed, it ends at the first
            assert [run["tool"] for run in stage.evidence["runs"]] in (["memcheck"], ["memcheck", "racecheck"])
    assert found.timing is not None
    assert found.timing.measurement is not None
    assert set(found.timing.measurement.medians) == {"candidate", "eager"}
