"""Workloads with sizes of their own: kernels that are right for the task's shapes only are told, and others pass."""

from __future__ import annotations

import pytest
import torch

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.bench_tasks.task import Distribution, Workload
from kernelwright.errors import TaskError
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.process import Limits
from kernelwright.sandbox.reference import Reference
from kernelwright.verifier.evaluate import evaluate
from kernelwright.verifier.evaluation import Evaluation, Verdict
from kernelwright.verifier.model.gpus import find_gpu

SOURCE = """
import torch
ROWS, N = 8, 128
class Model(torch.nn.Module):
    def __init__(self, n):
        super().__init__()
        self.w = torch.nn.Parameter(torch.randn(n))
    def forward(self, x):
        return x * self.w
def get_inputs():
    return [torch.randn(ROWS, N)]
def get_init_inputs():
    return [N]
"""
SIZES = """
WORKLOADS = [
    {"distribution": "as_given"},
    {"distribution": "normal"},
    {"distribution": "normal", "sizes": {"ROWS": 1, "N": 1}},
    {"distribution": "normal", "sizes": {"ROWS": 3, "N": 131}},
]
"""
EMPTY = SIZES.replace('"ROWS": 1', '"ROWS": 0')
KERNEL = '''
import cupy
import numpy as np
import torch

CUDA = r"""
extern "C" __global__ void scale(const float* x, const float* w, float* y, int n, int cols) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] * w[i % cols];
}
"""
SCALE = cupy.RawModule(code=CUDA).get_function("scale")


class ModelNew(torch.nn.Module):
    def __init__(self, n):
        super().__init__()
        self.w = torch.nn.Parameter(torch.randn(n))

    def forward(self, x):
        y = torch.empty_like(x)
        if not x.numel():
            return y
        n = x.numel()
        SCALE(((n + 127) // 128,), (128,), (x.data_ptr(), self.w.data_ptr(), y.data_ptr(), np.int32(n), np.int32(x.shape[1])))
        return y
'''
TAIL_BUG = KERNEL.replace("(n + 127) // 128", "n // 128")
NO_GUARD = KERNEL.replace("if not x.numel():", "if False:")


def judge(source: str, kernel: str) -> Evaluation:
    task = task_from_source(source, name="scale")
    device = Device("emulator", "H200", "sm_90", "process")
    with Reference(task) as reference:
        found = evaluate(
            task,
            Kernel(kernel, "t"),
            device=device,
            reference=reference,
            gpu=find_gpu("H200"),
            limits=Limits(call_seconds=20),
        )
        # the reference is as it was, whatever came of it
        assert reference.inputs(Distribution.AS_GIVEN, 1)[0].shape == (8, 128)
        assert reference.init(1).state["w"].shape == (128,)
    return found


def test_a_kernel_for_any_shape_passes_and_is_timed_on_its_own_shape_only() -> None:
    found = judge(SOURCE + EMPTY, KERNEL)
    assert found.verdict is Verdict.PASSED, found.reason
    calls = next(stage for stage in found.stages if stage.name == "correctness").evidence["calls"]
    assert [call["workload"] for call in calls] == ["as-given", "normal", "normal-ROWS-0-N-1", "normal-ROWS-3-N-131"]
    timing = next(stage for stage in found.stages if stage.name == "timing").evidence["calls"]
    assert not [call for call in timing if "-N-" in call["workload"]]


def test_a_tail_bug_shows_only_where_sizes_are_asked_for() -> None:
    assert judge(SOURCE, TAIL_BUG).verdict is Verdict.PASSED
    found = judge(SOURCE + SIZES.replace('"ROWS": 1, "N": 1', '"ROWS": 5, "N": 127'), TAIL_BUG)
    assert found.verdict is Verdict.WRONG
    assert "normal-ROWS-5-N-127" in found.reason


def test_a_launch_of_no_blocks_is_the_kernels_fault() -> None:
    found = judge(SOURCE + EMPTY, NO_GUARD)
    assert found.verdict is Verdict.CRASHED
    assert "ROWS = 0, N = 1" in found.reason
    assert "without a launch" in found.reason


def test_a_size_that_the_file_does_not_have_is_the_tasks_fault() -> None:
    with pytest.raises(TaskError, match="no such number"):
        judge(SOURCE + SIZES.replace('"ROWS": 3', '"COLUMNS": 3'), KERNEL)


@pytest.mark.parametrize("sizes", ['{"N": -1}', '{"N": 2.0}', '{"N": True}', "{3: 3}", "[3]", '{"a b": 3}'])
def test_sizes_are_names_and_whole_numbers(sizes: str) -> None:
    with pytest.raises(TaskError, match="sizes"):
        task_from_source(
            SOURCE + f'WORKLOADS = [{{"distribution": "normal"}}, {{"distribution": "normal", "sizes": {sizes}}}]\n',
            name="t",
        )


def test_the_first_workload_is_timed_and_has_none() -> None:
    with pytest.raises(TaskError, match="timed"):
        task_from_source(SOURCE + 'WORKLOADS = [{"distribution": "normal", "sizes": {"N": 3}}]\n', name="t")


def test_sizes_survive_json_and_change_nothing_of_workloads_without() -> None:
    plain = Workload("a", Distribution.NORMAL)
    sized = Workload("b", Distribution.NORMAL, 2, sizes=(("N", 7), ("ROWS", 0)))
    assert plain.to_json() == ["a", "normal", 1, None, False]
    assert [Workload.from_json(w.to_json()) for w in (plain, sized)] == [plain, sized]


def test_the_reference_is_built_anew() -> None:
    with Reference(task_from_source(SOURCE, name="t")) as reference:
        before = reference.init(4).state["w"]
        reference.resize({"N": 7})
        (x,) = reference.inputs(Distribution.NORMAL, 3)
        weights = reference.init(4).state["w"]
        assert (x.shape, weights.shape) == ((8, 7), (7,))
        torch.testing.assert_close(reference.run([x], weights_seed=4).native, x * weights)
        reference.resize({})
        assert torch.equal(reference.init(4).state["w"], before)
