"""The stages on a GPU, with the emulator in a GPU's place: the protocol, the comparisons, the refusals. No time is looked at."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.sandbox.bare_cuda import module_of
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.launch import Counters, GpuLaunch, LaunchReport
from kernelwright.sandbox.process import Limits
from kernelwright.sandbox.reference import Reference
from kernelwright.verifier.evaluate import evaluate
from kernelwright.verifier.evaluation import Evaluation, StageStatus, TimingKind, Verdict
from kernelwright.verifier.measured.gpu_stages import GpuOptions
from kernelwright.verifier.measured.launches import launch_difference
from kernelwright.verifier.measured.rounds import Plan
from kernelwright.verifier.model.gpus import find_gpu

TASK = task_from_source(
    """
import torch
class Model(torch.nn.Module):
    def __init__(self, n):
        super().__init__()
        self.w = torch.nn.Parameter(torch.randn(n))
    def forward(self, x):
        return torch.relu(x) * self.w
def get_inputs():
    return [torch.randn(16, 50)]
def get_init_inputs():
    return [50]
""",
    name="relu_scale",
)
KERNEL = '''
import cupy
import torch

K = cupy.RawKernel(r"""
extern "C" __global__ void relu_scale(const float* x, const float* w, float* y, int n, int cols) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = fmaxf(x[i], 0.f) * w[i % cols];
}
""", "relu_scale")


class ModelNew(torch.nn.Module):
    def __init__(self, n):
        super().__init__()
        self.w = torch.nn.Parameter(torch.randn(n))

    def forward(self, x):
        y = torch.empty_like(x)
        n = x.numel()
        K(((n + 127) // 128,), (128,), (x, self.w, y, cupy.int32(n), cupy.int32(x.shape[1])))
        return y
'''
BARE = """
#include <torch/extension.h>

__global__ void relu_scale(const float* x, const float* w, float* y, int n, int cols) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = fmaxf(x[i], 0.f) * w[i % cols];
}

torch::Tensor forward(torch::Tensor x, torch::Tensor w) {
    TORCH_CHECK(x.is_cuda() && w.is_cuda(), "not on the GPU");
    auto y = torch::empty_like(x);
    int n = x.numel();
    relu_scale<<<(n + 127) / 128, 128>>>(x.data_ptr<float>(), w.data_ptr<float>(), y.data_ptr<float>(), n, x.size(1));
    return FACTOR y;
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("forward", &forward); }
"""
DEVICE = Device("cuda", "H200", "sm_90", "process")
QUICK = GpuOptions(
    plan=Plan(budget_seconds=1.0, least_rounds=2, most_rounds=2, most_calls=6, most_warm_up=2), baselines=("eager",),
    products=(("float32", 64), ("float16", 64)), runtime="emulated",
)  # fmt: skip


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
    with Reference(TASK) as opened:
        yield opened


def judged(source: str, reference: Reference, options: GpuOptions = QUICK) -> Evaluation:
    seeds = itertools.count(7)
    return evaluate(
        TASK, Kernel(source, "t"), device=DEVICE, reference=reference, gpu=find_gpu("H200"), limits=Limits(call_seconds=20),
        draw_seed=lambda: next(seeds), on_gpu=options,
    )  # fmt: skip


def test_an_honest_kernel_goes_through_all_stages(reference: Reference) -> None:
    found = judged(KERNEL, reference, replace(QUICK, tools=("memcheck", "ncu"), tool_seconds=60.0))
    assert found.verdict is Verdict.PASSED, found.reason
    names = [stage.name for stage in found.stages]
    assert names[-5:] == ["gpu build", "gpu correctness", "gpu sanitise", "gpu timing", "gpu profile"]
    assert names.index("integrity") < names.index("gpu build")
    without_a_gpu = {"gpu sanitise", "gpu profile"}  # the tools are absent, or find no GPU
    for stage in found.stages:
        assert stage.status is (StageStatus.SKIPPED if stage.name in without_a_gpu else StageStatus.PASSED)
        assert stage.summary
    assert found.measured_profile is None
    timing = found.timing
    assert timing is not None
    assert timing.kind is TimingKind.MEASURED
    assert timing.seconds_low is not None
    assert timing.seconds_high is not None
    assert timing.seconds_low <= timing.seconds <= timing.seconds_high
    assert "rounds" in timing.interval_source
    measured = timing.measurement
    assert measured is not None
    assert set(measured.medians) == {"candidate", "eager"}
    assert {len(v) for modes in measured.medians.values() for v in modes.values()} == {measured.rounds}
    assert measured.looked_at >= measured.rounds
    assert measured.wall is not None
    assert Evaluation.model_validate_json(found.model_dump_json()) == found
    assert len(set(found.seeds)) == len(found.seeds)


def test_a_bare_cuda_source_goes_through_the_same_stages(reference: Reference) -> None:
    found = judged(module_of(BARE.replace("FACTOR ", "")), reference)
    assert found.verdict is Verdict.PASSED, found.reason
    assert [stage.name for stage in found.stages][-3:] == ["gpu build", "gpu correctness", "gpu timing"]
    stage = found.stages[-2]
    assert "the same 1 launch" in stage.summary
    ((name, grid, block, _seconds),) = stage.evidence["launches"]
    assert ("relu_scale" in name, grid, block) == (True, [7, 1, 1], [128, 1, 1])
    build = found.stages[-3].evidence
    assert set(build["unpinned"]) == {"inputs"}  # the emulator has no driver that could pin them; outputs came later


def test_a_bare_cuda_source_that_is_wrong_is_found(reference: Reference) -> None:
    found = judged(module_of(BARE.replace("FACTOR", "2 *")), reference)
    assert found.verdict is Verdict.WRONG, found.reason


def only_on_the_gpu(statement: str) -> str:
    """The kernel, with a statement in its forward that runs in the GPU's worker only."""
    marked = KERNEL.replace("import torch\n", "import torch\nimport sys\n", 1)
    test = 'if "kernelwright.sandbox.cuda.runtime" in sys.modules:\n            '
    return marked.replace("        return y\n", f"        {test}{statement}\n        return y\n")


@pytest.mark.parametrize(
    ("statement", "verdict", "said"),
    [
        ("y = y * 1.01", Verdict.WRONG, "On the GPU output 0 is wrong on workload"),
        ("x.add_(1)", Verdict.WRONG, "changes"),
        ("y = x", Verdict.WRONG, "On the GPU output 0 is wrong"),
        ("raise ValueError('not here')", Verdict.CRASHED, "not here"),
        ("K((1,), (32,), (x, self.w, y, cupy.int32(0), cupy.int32(1)))", Verdict.CHEATING, "is launched 1 time more"),
        ("__import__('os')._exit(3)", Verdict.CRASHED, "ended with exit code 3"),
    ],
)
def test_what_happens_on_the_gpu_only_is_found(
    reference: Reference, statement: str, verdict: Verdict, said: str
) -> None:
    found = judged(only_on_the_gpu(statement), reference)
    assert said in found.reason
    assert found.verdict is verdict
    assert found.stages[-1].name in {"gpu build", "gpu correctness"}
    assert found.timing is None


def test_wrong_in_timed_calls_only_is_found(reference: Reference) -> None:
    # after as many calls as correctness makes
    calls = sum(w.seeds for w in TASK.workloads if w.fits(reference.signature) and not w.sizes)
    marked = only_on_the_gpu(f"CALLS.append(0); y = y if len(CALLS) <= {calls} else y + 1")
    found = judged(marked.replace("\n\nclass ModelNew", "\nCALLS = []\n\n\nclass ModelNew"), reference)
    assert found.verdict is Verdict.WRONG, found.reason
    assert "Timed call" in found.reason
    assert found.stages[-1].name == "gpu timing"


def report(
    name: str, grid: tuple[int, int, int] = (4, 1, 1), block: tuple[int, int, int] = (128, 1, 1)
) -> LaunchReport:
    return LaunchReport(name, grid, block, 0, Counters())


def launch(name: str, grid: tuple[int, int, int] = (4, 1, 1), block: tuple[int, int, int] = (128, 1, 1)) -> GpuLaunch:
    return GpuLaunch(name, grid, block, 1e-6, 32, 0)


@pytest.mark.parametrize(
    ("on_gpu", "same"),
    [
        ([launch("reduce(float const*, float*)"), launch("void ns::tile<float, 8>(float*)")], True),
        (
            [launch("void ns::tile<float, 8>(float*)"), launch("reduce"), launch("void at::native::fill<int>(int)")],
            True,
        ),
        ([launch("_Z6reducePKfPf"), launch("_ZN2ns4tileIfLi8EEvPT_")], True),
        ([launch("reduce")], False),
        ([launch("reduce"), launch("void ns::tile<float, 8>(float*)"), launch("reduce")], False),
        ([launch("reduce", grid=(5, 1, 1)), launch("void ns::tile<float, 8>(float*)")], False),
        ([launch("reduce", block=(64, 1, 1)), launch("void ns::tile<float, 8>(float*)")], False),
    ],
)
def test_launches_are_compared_by_name_grid_and_block(on_gpu: list[GpuLaunch], same: bool) -> None:
    emulated = [report("reduce"), report("_ZN2ns4tileIfLi8EEvPT_")]
    assert (launch_difference(emulated, on_gpu) == "") is same
