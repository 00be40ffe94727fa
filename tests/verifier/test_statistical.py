"""Tasks that draw random numbers: torch's own operations, run here under seeds of their own, must pass; faulty ones must not."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.bench_tasks.task import NumericPolicy
from kernelwright.sandbox.channel import Message
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.reference import Reference as Opened
from kernelwright.sandbox.reference import ReferenceResult
from kernelwright.sandbox.reference_worker import Reference
from kernelwright.sandbox.sampling import INDEPENDENT, SampledOutput, independent_values
from kernelwright.sandbox.trees import seed_torch
from kernelwright.verifier import statistical
from kernelwright.verifier.evaluate import evaluate
from kernelwright.verifier.evaluation import Verdict
from kernelwright.verifier.model.gpus import find_gpu
from kernelwright.verifier.statistical import between_calls, compare

Sampler = Callable[[torch.Tensor], Any]
X = torch.randn(80, 60, generator=torch.Generator().manual_seed(1))
SIZES = 10 ** (torch.rand(80, 60, generator=torch.Generator().manual_seed(2)) * 5 - 4)
POLICY = NumericPolicy()


class _Function(torch.nn.Module):
    def __init__(self, function: Sampler) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(*inputs)


@cache
def sampled(function: Sampler, x: torch.Tensor = X) -> ReferenceResult:
    """What the reference process answers for a module that samples."""
    worker = Reference()
    worker.samples = True
    worker.models[0, False] = _Function(function)
    message = Message({"seed": 0, "moved": False, "samples_seed": 1000}, [x], None)
    values = worker.run(message)[1]
    samples = tuple(map(SampledOutput.from_tree, values["samples"]))
    return ReferenceResult(values["native"], None, None, (), (), samples=samples)


def dropout(p: float) -> Sampler:
    return lambda x: F.dropout(x, p)


TASKS: dict[str, Sampler] = {
    "dropout": dropout(0.5),
    "dropout a little": dropout(0.1),
    "dropout rarely": dropout(0.003),
    "dropout nearly all": dropout(0.97),
    "small beside a residual, dropped rarely": lambda x: F.dropout(F.relu(x) * SIZES, 0.05) + x.flip(0),
    "gelu, dropout, residual": lambda x: F.dropout(F.gelu(x), 0.3) + x,
    "rows dropped": lambda x: F.dropout1d(x.expand(4, 80, 60), 0.5),
    "dropout, then a product": lambda x: F.dropout(x, 0.5) @ X.t(),
    "bernoulli of probabilities": lambda x: torch.bernoulli(torch.sigmoid(2 * x)),
    "uniform noise": lambda x: x + torch.rand_like(x),
    "normal noise": lambda x: x + 0.1 * torch.randn_like(x),
    "exponential": lambda x: torch.empty_like(x).exponential_(),
    "multinomial": lambda x: torch.multinomial(torch.softmax(x, -1), 20),
    "whole numbers": lambda x: torch.randint_like(x, 7).long(),
    "value and mask": lambda x: torch.native_dropout(x, 0.4, True),
}


@pytest.mark.parametrize("name", TASKS)
def test_another_run_of_the_reference_passes_twelve_times(name: str) -> None:
    expected = sampled(TASKS[name])
    calls = []
    for seed in range(12):
        seed_torch(100 + seed)  # X came from seed 1
        output = TASKS[name](X)
        mismatch, _share = compare(output, expected, POLICY)
        assert mismatch is None, mismatch
        calls.append(output)
    for start in range(0, 12, 4):
        assert between_calls(calls[start : start + 4], expected) is None


def _half(x: torch.Tensor) -> torch.Tensor:
    keep = torch.rand_like(x) >= 0.5
    keep[x.shape[0] // 2 :] = True
    return x * keep * 2


def _shared(by: int) -> Sampler:
    def function(x: torch.Tensor) -> torch.Tensor:
        keep = (torch.rand(x.numel() // by) >= 0.5).repeat_interleave(by).reshape(x.shape)
        return x * keep * 2

    return function


def _one(index: tuple[int, int], factor: float) -> Sampler:
    def function(x: torch.Tensor) -> torch.Tensor:
        out = F.dropout(x, 0.5)
        out[index] = x[index] * 2 * factor
        return out

    return function


FAULTS: dict[str, tuple[str, Sampler, str]] = {
    "drops too few": ("dropout", lambda x: x * (torch.rand_like(x) >= 0.3) * 2, "are 0"),
    "does not scale": ("dropout", lambda x: x * (torch.rand_like(x) >= 0.5), "should be"),
    "scales by p": ("dropout a little", lambda x: x * (torch.rand_like(x) >= 0.1) / 0.1, "should be"),
    "scale wrong by 0.02 %": ("dropout", lambda x: F.dropout(x, 0.5) * 1.0002, "should be"),
    "drops nothing": ("dropout", lambda x: x * 2, "are 0"),
    "drops all": ("dropout", torch.zeros_like, "are 0"),
    "does nothing": ("dropout", lambda x: x, "should be"),
    "half is never dropped": ("dropout", _half, "are 0"),
    "every other is dropped": ("dropout", lambda x: x * (torch.arange(x.numel()).reshape(x.shape) % 2) * 2, "element"),
    "one for two neighbours": ("dropout", _shared(2), "1 element apart"),
    "one for a row": ("dropout", _shared(60), "are 0"),
    "a mask that repeats": ("dropout", lambda x: x * 2 * (torch.rand(1700) >= 0.5).repeat(3)[:4800].reshape(x.shape), "repeat"),
    "the same in every row": ("dropout", lambda x: x * (torch.rand(60) >= 0.5) * 2, "are 0"),
    "one element is wrong": ("dropout", _one((79, 59), 1.01), "[79, 59]"),
    "one element is not written": ("dropout", _one((3, 4), math.nan), "[3, 4] is nan"),
    "elements in place of rows": ("rows dropped", lambda x: F.dropout(x.expand(4, 80, 60), 0.5), "depend on each other"),
    "residual dropped too": ("gelu, dropout, residual", lambda x: F.dropout(F.gelu(x) + x, 0.3), "should be"),
    "one probability for all": ("bernoulli of probabilities", lambda x: (torch.rand_like(x) < 0.5).float(), "variance"),
    "probabilities turned round": ("bernoulli of probabilities", lambda x: torch.bernoulli(torch.sigmoid(-2 * x)), ""),
    "normal for uniform": ("uniform noise", lambda x: x + 0.5 + torch.randn_like(x) / math.sqrt(12), ""),
    "narrow noise": ("normal noise", lambda x: x + 0.05 * torch.randn_like(x), "variance"),
    "noise off centre": ("normal noise", lambda x: x + 0.1 * torch.randn_like(x) + 0.05, ""),
    "no noise": ("normal noise", lambda x: x, "variance"),
    "out of range": ("whole numbers", lambda x: torch.randint_like(x, 7).long() * 50, "far outside"),
    "mask of another draw": (
        "value and mask", lambda x: (F.dropout(x, 0.4), torch.rand_like(x) >= 0.4), "does not go with output 0",
    ),
    "another dtype": ("dropout", lambda x: F.dropout(x, 0.5).double(), "dtype"),
    "another shape": ("dropout", lambda x: F.dropout(x, 0.5)[:-1], "shape"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_told(name: str) -> None:
    task, faulty, says = FAULTS[name]
    expected = sampled(TASKS[task])
    seed_torch(5)
    mismatch, _share = compare(faulty(X), expected, POLICY)
    assert mismatch is not None
    assert says in mismatch.what


def _no_signs(x: torch.Tensor) -> torch.Tensor:
    """A value times a mask, and another value: whether an element was kept shows neither in its sign nor in its size."""
    return 8 + F.dropout(x, 0.5)


NEEDS_CALLS: dict[str, tuple[Sampler, Sampler]] = {
    "greedy": (TASKS["multinomial"], lambda x: torch.softmax(x, -1).topk(20).indices),
    "drops nothing": (_no_signs, lambda x: 8 + 2 * x),
    "drops too few": (_no_signs, lambda x: 8 + 2 * x * (torch.rand_like(x) >= 0.2)),
    "one for two neighbours": (_no_signs, lambda x: 8 + _shared(2)(x)),
}


@pytest.mark.parametrize("name", NEEDS_CALLS)
def test_faults_that_only_several_calls_show_are_told(name: str) -> None:
    task, faulty = NEEDS_CALLS[name]
    expected = sampled(task)
    seed_torch(6)
    assert between_calls([task(X) for _ in range(4)], expected) is None
    assert between_calls([faulty(X) for _ in range(4)], expected) is not None


@pytest.mark.parametrize("shift", [0, 1])
def test_random_numbers_used_again_are_told(shift: int) -> None:
    expected = sampled(TASKS["dropout"])
    keep = torch.rand(X.numel(), generator=torch.Generator().manual_seed(3)) >= 0.5
    calls = [X * keep.roll(-shift * call).reshape(X.shape) * 2 for call in range(2)]
    assert all(compare(call, expected, POLICY)[0] is None for call in calls)
    mismatch = between_calls(calls, expected)
    assert mismatch is not None
    assert "drawn" in mismatch.what or "anew" in mismatch.what


def test_two_masks_in_turn_are_told() -> None:
    expected = sampled(TASKS["dropout"])
    seed_torch(9)
    one, two = F.dropout(X, 0.5), F.dropout(X, 0.5)
    assert between_calls([one, two], expected) is None
    mismatch = between_calls([one, two, one], expected)
    assert mismatch is not None
    assert "calls 1 and 3" in mismatch.what


def test_the_limit_is_students_t_at_one_in_a_thousand_million() -> None:
    n = statistical._HALF - 1
    factor = math.exp(math.lgamma((n + 1) / 2) - math.lgamma(n / 2)) / math.sqrt(n * math.pi)
    u = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000  # x = limit / u, from the limit to infinity
    x = statistical._LIMIT / u
    tail = factor * ((1 + x * x / n) ** (-(n + 1) / 2) * x / u).mean()
    assert 2 * float(tail) == pytest.approx(1e-9, rel=0.01)


def test_random_values_that_depend_on_each_other_count_once() -> None:
    seed_torch(0)
    assert independent_values(torch.rand(64, 4000)) > 2000
    assert independent_values(torch.rand(64, 1) * torch.ones(4000)) < 3
    assert independent_values(torch.rand(64, 1) * torch.randn(4000)) < 3  # of either sign
    assert independent_values(torch.rand(64, 40).repeat_interleave(100, 1)) < INDEPENDENT
    assert independent_values(torch.ones(64, 40)) == 0


# -- end to end ---------------------------------------------------------------------------------------------------

TASK = task_from_source(
    """
import torch
WORKLOADS = [{"distribution": "as_given", "seeds": 2}, {"distribution": "normal"}, {"distribution": "mixed"}]
class Model(torch.nn.Module):
    def __init__(self, p):
        super().__init__()
        self.p = p
    def forward(self, x):
        return torch.nn.functional.dropout(torch.relu(x), self.p, True)
def get_inputs():
    return [torch.rand(37, 130)]
def get_init_inputs():
    return [0.25]
""",
    name="relu_dropout",
)

HONEST = '''
import cupy
import numpy as np
import torch

CUDA = r"""
// Philox 4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3; SC 2011)
__device__ uint4 philox(unsigned long long key, unsigned counter) {
    unsigned k0 = (unsigned)key, k1 = (unsigned)(key >> 32);
    uint4 c = make_uint4(counter, 0u, 0u, 0u);
    for (int round = 0; round < 10; ++round) {
        unsigned h0 = __umulhi(0xD2511F53u, c.x), l0 = 0xD2511F53u * c.x;
        unsigned h1 = __umulhi(0xCD9E8D57u, c.z), l1 = 0xCD9E8D57u * c.z;
        c = make_uint4(h1 ^ c.y ^ k0, l1, h0 ^ c.w ^ k1, l0);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return c;
}

extern "C" __global__ void relu_dropout(const float* __restrict__ x, float* __restrict__ y, int n, float p, unsigned long long seed) {
    int i = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
    uint4 drawn = philox(seed, i / 4);
    unsigned bits[4] = {drawn.x, drawn.y, drawn.z, drawn.w};
    float scale = 1.0f / (1.0f - p);
    for (int k = 0; k < 4 && i + k < n; ++k) {
        bool keep = (bits[k] >> 8) * (1.0f / 16777216.0f) >= p;
        y[i + k] = keep ? fmaxf(x[i + k], 0.0f) * scale : 0.0f;
    }
}
"""
KERNEL = cupy.RawModule(code=CUDA).get_function("relu_dropout")


class ModelNew(torch.nn.Module):
    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        x = x.contiguous()
        y = torch.empty_like(x)
        n = x.numel()
        seed = int(torch.randint(0, 2**62, (1,)).item())
        KERNEL(((n + 1023) // 1024,), (256,), (x.data_ptr(), y.data_ptr(), np.int32(n), np.float32(self.p), np.uint64(seed)))
        return y
'''


@pytest.fixture(scope="module")
def opened():
    with Opened(TASK) as reference:
        yield reference


def judged(opened: Opened, *changes: tuple[str, str], seed: int = 1):
    source = HONEST
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    seeds = iter(range(seed * 1000, seed * 1000 + 999))
    return evaluate(
        TASK,
        Kernel(source, "test"),
        device=Device("emulator", "H200", "sm_90", "process"),
        reference=opened,
        gpu=find_gpu("H200"),
        draw_seed=lambda: next(seeds),
    )


def test_a_counter_based_kernel_passes(opened: Opened) -> None:
    assert opened.samples
    found = judged(opened)
    assert found.verdict is Verdict.PASSED, found.reason
    stage = next(stage for stage in found.stages if stage.name == "correctness")
    assert stage.evidence["random"]["calls_on_the_same_inputs"] == statistical.CALLS


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(("int(torch.randint(0, 2**62, (1,)).item())", "1234"), "anew", id="one seed for all calls"),
        pytest.param((">= p;", ">= 0.5f * p;"), "are 0", id="half the rate"),
        pytest.param(("* scale :", ":"), "should be", id="not scaled"),
        pytest.param(("philox(seed, i / 4)", "philox(seed, i / 8)"), "depend on each other", id="counter used twice"),
        pytest.param(("bits[k]", "bits[0]"), "depend on each other", id="one of four words"),
        pytest.param(("k < 4 && i + k < n", "k < 4 && i + k < n - 1"), "never written", id="tail left out"),
    ],
)
def test_faulty_kernels_are_wrong(opened: Opened, change: tuple[str, str], says: str) -> None:
    found = judged(opened, change)
    assert found.verdict is Verdict.WRONG, found.reason
    assert says in found.reason
