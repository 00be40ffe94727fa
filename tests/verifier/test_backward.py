"""Tasks that ask for gradients: an honest autograd.Function, and what becomes of it when one line of it changes."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.bench_tasks.task import Distribution
from kernelwright.errors import TaskError
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.gradients import compact_strides
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.process import Limits
from kernelwright.sandbox.reference import Reference
from kernelwright.verifier.evaluate import evaluate
from kernelwright.verifier.evaluation import Evaluation, Verdict
from kernelwright.verifier.model import assemble
from kernelwright.verifier.model.gpus import find_gpu

SOURCE = """
import torch
BACKWARD = True
class Model(torch.nn.Module):
    def __init__(self, n):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(n))
    def forward(self, x):
        return x * torch.sigmoid(x) * self.weight
def get_inputs():
    return [torch.randn(37, 50)]
def get_init_inputs():
    return [50]
"""
HONEST = '''
import cupy
import numpy as np
import torch

CUDA = r"""
#include <cuda_fp16.h>
extern "C" __global__ void forward(const float* x, const float* w, float* y, int n, int cols) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] / (1.0f + expf(-x[i])) * w[i % cols];
}
extern "C" __global__ void backward_x(const float* x, const float* w, const float* g, float* gx, int n, int cols) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        float s = 1.0f / (1.0f + expf(-x[i]));
        float d = s * (1.0f + x[i] * (1.0f - s));
        gx[i] = g[i] * w[i % cols] * d;
    }
}
extern "C" __global__ void backward_w(const float* x, const float* g, float* gw, int rows, int cols) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c < cols) {
        float sum = 0.0f;
        for (int r = 0; r < rows; r++) sum += g[r * cols + c] * x[r * cols + c] / (1.0f + expf(-x[r * cols + c]));
        gw[c] = sum;
    }
}
"""
MODULE = cupy.RawModule(code=CUDA, options=("--std=c++17",))


def launch(name, count, *arguments):
    with cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream):
        MODULE.get_function(name)(((count + 127) // 128,), (128,), arguments)


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        y = torch.empty_like(x)
        launch("forward", x.numel(), x.data_ptr(), w.data_ptr(), y.data_ptr(), np.int32(x.numel()), np.int32(x.shape[1]))
        return y

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        g = g.contiguous()
        gx, gw = torch.empty_like(x), torch.empty_like(w)
        rows, cols = x.shape
        launch("backward_x", x.numel(), x.data_ptr(), w.data_ptr(), g.data_ptr(), gx.data_ptr(), np.int32(x.numel()), np.int32(cols))
        launch("backward_w", cols, x.data_ptr(), g.data_ptr(), gw.data_ptr(), np.int32(rows), np.int32(cols))
        return gx, gw


class ModelNew(torch.nn.Module):
    def __init__(self, n):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(n))

    def forward(self, x):
        return Swish.apply(x, self.weight)
'''
H200 = find_gpu("H200")
DEVICE = Device("emulator", "H200", "sm_90", "process")
LIMITS = Limits(call_seconds=10)


@pytest.fixture(scope="module")
def reference():
    with Reference(task_from_source(SOURCE, name="swish")) as opened:
        yield opened


def judge(reference: Reference, source: str) -> Evaluation:
    seeds = itertools.count(11)
    return evaluate(
        reference.task, Kernel(source, "test"), device=DEVICE, reference=reference, gpu=H200, limits=LIMITS,
        draw_seed=lambda: next(seeds),
    )  # fmt: skip


def changed(old: str, new: str, source: str = HONEST) -> str:
    assert source.count(old) == 1, old
    return source.replace(old, new)


def test_honest_backward_passes_and_is_timed_with_forward(reference):
    found = judge(reference, HONEST)
    assert found.verdict is Verdict.PASSED, found.reason
    assert found.timing is not None
    names = [row["name"] for row in found.timing.breakdown if row["kind"] == "kernel"]
    assert names == ["forward", "backward_x", "backward_w"]
    # eager runs sigmoid and two products forward, and at least as many again backward
    baseline = [row["name"] for row in found.timing.baseline_breakdown]
    assert "aten.sigmoid_backward.default" in baseline
    assert len(baseline) >= 6
    # x, cotangent, y and the gradient of x cross the bus once
    assert found.timing.bound_seconds > 4 * 37 * 50 * 4 / H200.achievable_bandwidth


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("gx[i] = g[i] * w", "gx[i] = 1.001f * g[i] * w", "The gradient of input 0 is wrong"),
        ("gx[i] = g[i] * w", "gx[i] = w", "The gradient of input 0 is wrong"),  # of y.sum(): the cotangent is left out
        ("(1.0f + x[i] * (1.0f - s))", "__half2float(__float2half(1.0f + x[i] * (1.0f - s)))", "The gradient of input 0 is wrong"),
        ("gw[c] = sum;", "gw[c] = sum / rows;", "The gradient of weight is wrong"),
        ("return gx, gw", "return gx, None", "The gradient of weight is wrong on workload 'as-given': it is missing (None)"),
        ("return gx, gw", "return None, gw", "The gradient of input 0 is wrong on workload 'as-given': it is missing (None)"),
        ("Swish.apply(x, self.weight)", "Swish.apply(x, self.weight.detach())", "The gradient of weight is wrong on"),
        ("return gx, gw", "g.zero_(); return gx, gw", "It changes the cotangent of output 0"),
        ("* w[i % cols];", "* w[i % cols] * 1.001f;", "The output is wrong"),
    ],
)  # fmt: skip
def test_a_changed_line_is_wrong_and_named(reference, old, new, reason):
    found = judge(reference, changed(old, new))
    assert found.verdict is Verdict.WRONG, found.reason
    assert found.reason.startswith(reason), found.reason


def test_kernels_outside_of_autograd_have_no_gradients(reference):
    direct = changed(
        "return Swish.apply(x, self.weight)",
        "y = torch.empty_like(x)\n        launch('forward', x.numel(), x.data_ptr(), self.weight.data_ptr(), y.data_ptr(), "
        "np.int32(x.numel()), np.int32(x.shape[1]))\n        return y",
    )
    found = judge(reference, direct)
    assert found.verdict is Verdict.WRONG
    assert "The gradient of input 0" in found.reason
    assert "torch.autograd.Function" in found.reason


def test_strided_cotangents_find_a_backward_that_takes_them_for_contiguous():
    asked = 'WORKLOADS = [{"distribution": "as_given"}, {"distribution": "normal", "strided": True}]\nBACKWARD = True\n'
    with Reference(task_from_source(SOURCE.replace("BACKWARD = True\n", asked), name="swish")) as opened:
        careless = changed("        g = g.contiguous()\n", "")
        careless = changed("return Swish.apply(x, self", "return Swish.apply(x.contiguous(), self", careless)
        careful = changed("return Swish.apply(x, self", "return Swish.apply(x.contiguous(), self")
        found = judge(opened, careless)
        assert found.verdict in {Verdict.WRONG, Verdict.UNSAFE}, found.reason
        assert "normal-strided" in found.reason or found.verdict is Verdict.UNSAFE
        assert judge(opened, careful).verdict is Verdict.PASSED


HALF_SUM = """
import torch
BACKWARD = True
class Model(torch.nn.Module):
    def forward(self, x, y):
        return torch.relu(x).sum(-1), y + 1
def get_inputs():
    return [torch.randn(8, 96).half(), torch.randn(4, 32).half()]
"""
HALF_KERNEL = '''
import cupy
import numpy as np
import torch

CUDA = r"""
#include <cuda_fp16.h>
extern "C" __global__ void relu_sum(const half* x, half* y, int rows, int cols) {
    int r = blockIdx.x * blockDim.x + threadIdx.x;
    if (r >= rows) return;
    float sum = 0.0f;
    for (int c = 0; c < cols; c++) sum += fmaxf(__half2float(x[r * cols + c]), 0.0f);
    y[r] = __float2half(sum);
}
extern "C" __global__ void back(const half* x, const half* g, half* gx, int n, int cols) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) gx[i] = __half2float(x[i]) > 0.0f ? g[i / cols] : __float2half(0.0f);
}
extern "C" __global__ void plus_one(const half* x, half* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = __float2half(__half2float(x[i]) + 1.0f);
}
"""
MODULE = cupy.RawModule(code=CUDA, options=("--std=c++17",))


def launch(name, count, *arguments):
    with cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream):
        MODULE.get_function(name)(((count + 31) // 32,), (32,), arguments)


class Both(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x)
        out, more = torch.empty(x.shape[0], dtype=x.dtype, device=x.device), torch.empty_like(y)
        launch("relu_sum", x.shape[0], x.data_ptr(), out.data_ptr(), np.int32(x.shape[0]), np.int32(x.shape[1]))
        launch("plus_one", y.numel(), y.data_ptr(), more.data_ptr(), np.int32(y.numel()))
        return out, more

    @staticmethod
    def backward(ctx, g, h):
        (x,) = ctx.saved_tensors
        g, gx = g.contiguous(), torch.empty_like(x)
        launch("back", x.numel(), x.data_ptr(), g.data_ptr(), gx.data_ptr(), np.int32(x.numel()), np.int32(x.shape[1]))
        return gx, h


class ModelNew(torch.nn.Module):
    def forward(self, x, y):
        return Both.apply(x, y)
'''


def test_two_outputs_in_half_precision_and_a_cotangent_handed_on():
    with Reference(task_from_source(HALF_SUM, name="half_sum")) as opened:
        assert judge(opened, HALF_KERNEL).verdict is Verdict.PASSED
        swapped = judge(opened, changed("return gx, h", "return gx, h * 0.5", HALF_KERNEL))
        assert swapped.verdict is Verdict.WRONG
        assert swapped.reason.startswith("The gradient of input 1"), swapped.reason


def test_a_parameter_under_another_name_is_said_to_be_missing(reference):
    found = judge(reference, HONEST.replace("self.weight", "self.scale"))
    assert found.verdict is Verdict.WRONG
    assert "The gradient of weight" in found.reason or "The output" in found.reason


def test_torch_may_differentiate_what_torch_computes(reference):
    """Only forward's product with the weight is torch's: its gradient is torch's too, and is priced."""
    part = changed("const float* w, float* y, int n, int cols) {\n    int i = blockIdx.x * blockDim.x + threadIdx.x;\n"
                   "    if (i < n) y[i] = x[i] / (1.0f + expf(-x[i])) * w[i % cols];",
                   "const float* w, float* y, int n, int cols) {\n    int i = blockIdx.x * blockDim.x + threadIdx.x;\n"
                   "    if (i < n) y[i] = x[i] / (1.0f + expf(-x[i]));")  # fmt: skip
    part = changed(
        "return Swish.apply(x, self.weight)", "return Swish.apply(x, torch.ones_like(self.weight)) * self.weight", part
    )
    found = judge(reference, part)
    assert found.verdict is Verdict.PASSED, found.reason
    assert found.profile is not None
    names = [op["name"] for op in found.profile.torch_ops]
    assert any(name.startswith("aten.sum") for name in names), names  # of the weight's gradient


def test_a_decoy_with_torch_behind_it_is_cheating(reference):
    decoy = changed(
        "return Swish.apply(x, self.weight)",
        "y = torch.empty_like(x)\n        launch('forward', x.numel(), x.data_ptr(), self.weight.data_ptr(), y.data_ptr(), "
        "np.int32(x.numel()), np.int32(x.shape[1]))\n        return x * torch.sigmoid(x) * self.weight",
    )
    found = judge(reference, decoy)
    assert found.verdict in {Verdict.CHEATING, Verdict.REJECTED}, found.reason


def test_the_reference_gives_gradients_of_its_own_autograd(reference):
    inputs = reference.inputs(Distribution.NORMAL, seed=3)
    result = reference.run(inputs, weights_seed=5)
    x, (g,) = inputs
    w = reference.init(5).state["weight"].double().requires_grad_()
    wide = x.double().requires_grad_()
    y = wide * torch.sigmoid(wide) * w
    gx, gw = torch.autograd.grad(y, [wide, w], g.double())
    output, (found_x, found_w) = result.exact
    torch.testing.assert_close(output, y.detach())
    torch.testing.assert_close(found_x, gx)
    torch.testing.assert_close(found_w, gw)
    assert float(g.std()) > 0.5


def test_only_gradients_that_autograd_gives_are_asked_for():
    source = """
import torch
BACKWARD = True
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.used = torch.nn.Parameter(torch.ones(4))
        self.unused = torch.nn.Parameter(torch.ones(4))
        self.frozen = torch.nn.Parameter(torch.ones(4), requires_grad=False)
    def forward(self, x, index, y):
        return (x + 1)[index] * self.used * self.frozen, y.argmax(-1), y + 1
def get_inputs():
    return [torch.randn(6, 4), torch.tensor([5, 0]), torch.randn(3, 4)]
"""
    with Reference(task_from_source(source, name="some")) as opened:
        assert opened.wanted is not None
        assert (opened.wanted.outputs, opened.wanted.inputs, opened.wanted.parameters) == ((0, 2), (0, 2), ("used",))
        assert [g.stride for g in opened.signature.gradients] == [(4, 1), (0, 0), (1,)]  # of y: the cotangent itself
        assert assemble.call_bytes(opened.signature) == 4 * (8 + 12 + 24 + 12 + 4) + 8 * 3


def test_gradients_that_need_no_memory_do_not_count():
    g = torch.randn(3, 4)
    strides = compact_strides([g, g.sum(0).expand(3, 4), torch.full((3, 4), 0.5), torch.randn(3, 4)], [g.clone()])
    assert list(strides) == [[0, 0], [0, 1], [0, 0], [4, 1]]


def test_a_task_without_a_way_back_is_refused():
    source = SOURCE.replace("return x * torch.sigmoid(x) * self.weight", "return (x * self.weight).detach()")
    with pytest.raises(TaskError, match="none of its outputs depends"):
        Reference(task_from_source(source, name="dead_end"))


def test_backward_is_read_as_a_literal_and_changes_the_id():
    plain = SOURCE.replace("BACKWARD = True\n", "")
    asked, not_asked = task_from_source(SOURCE, name="a"), task_from_source(plain, name="a")
    assert (asked.backward, not_asked.backward) == (True, False)
    assert not task_from_source(SOURCE.replace("= True", "= False"), name="a").backward
    assert task_from_source(SOURCE.replace("BACKWARD", "BACKWARD: bool"), name="a").backward

    assert dataclasses.replace(asked, backward=False).id != asked.id
    with pytest.raises(TaskError, match="neither True nor False") as error:
        task_from_source(SOURCE.replace("= True", "= bool(1)"), name="a")
    assert error.value.line == 3
