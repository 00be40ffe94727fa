"""Torch operations in a candidate's host code: they run on the device's memory, and give what torch gives."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F

from kernelwright.sandbox.candidate import Candidate, CandidateFailure
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.process import Limits
from kernelwright.sandbox.reference import InitState

HEAD = "import ctypes\nimport numpy as np\nimport torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"


def arithmetic(x, w, numbers):
    y = torch.empty(3, 4).fill_(2.5)
    y[1] = 7
    y.mul_(2).add_(1)
    total = torch.zeros(4)
    total += x[:, :4].sum(0)
    return (
        x + 1,
        x @ w,
        (x * 2).relu_(),
        torch.cat([x, x.flip(0)], dim=1),
        y,
        total,
        x.t().contiguous(),
        x.half(),
        x.clone().zero_(),
    )


def layers(x, w, numbers):
    return (
        F.softmax(x, dim=1), F.layer_norm(x, (8,)), F.rms_norm(x, (8,)), F.gelu(x), F.linear(x, w.t()),
        F.conv1d(x[None], w[:, :6].t().reshape(6, 1, 8)[:, :, :3].expand(6, 6, 3)), torch.topk(x, 3, dim=1), x.std(dim=1),
        F.scaled_dot_product_attention(x[None, None], x[None, None], x[None, None]), torch.fft.rfft(x), F.dropout(x, 0.5, False),
    )  # fmt: skip


def outs_and_gradients(x, w, numbers):
    y = torch.empty(6, 6)
    largest, where = torch.empty(6), torch.empty(6, dtype=torch.int64)
    torch.mm(x, w, out=y)
    torch.max(x, dim=1, out=(largest, where))
    with torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        pooled = F.max_pool2d(F.layer_norm(leaf, (8,))[None, None], 2)
        (F.log_softmax(pooled, -1) * F.softmax(leaf, 0)[:3, :4]).sum().backward()
    return y, largest, where, leaf.grad


def indices(x, w, numbers):
    y = x.clone()
    y[numbers] = 0
    y.index_add_(0, numbers, x[:3])
    return (
        x[numbers], torch.gather(x, 1, numbers[None].expand(6, 3)), x[x > 0], torch.nonzero(x > 0), torch.where(x > 0, x, -x),
        torch.argsort(x, dim=1), torch.unique(numbers), torch.masked_select(x, x < 0), y, torch.bincount(numbers),
        torch.repeat_interleave(numbers, numbers), torch.scatter(x, 1, numbers[None].expand(6, 3), 1.0),
    )  # fmt: skip


def numbers_on_the_host(x, w, numbers):
    largest = x.max().item()
    assert int(numbers[0]) == 4
    assert bool((x == x).all())
    assert torch.equal(x, x.clone())
    assert torch.allclose(x, x + 0)
    listed = (x * 2).tolist()
    array = (x + 1).numpy()
    sent = torch.from_numpy(array * 3).cuda()
    return (
        torch.tensor(largest),
        torch.tensor(listed),
        sent + x,
        torch.as_tensor(np.arange(6), device="cuda") + numbers.sum(),  # noqa: F821 - HEAD imports it
    )


FORWARDS = (arithmetic, layers, outs_and_gradients, indices, numbers_on_the_host)


def kernel(*functions: object, forward: str) -> Kernel:
    text = HEAD + "\n".join(inspect.getsource(f) for f in functions)  # type: ignore[arg-type]
    return Kernel(f"{text}\nclass ModelNew(nn.Module):\n    def forward(self, which, *args):\n        {forward}\n", "t")


@pytest.fixture(scope="module")
def candidate() -> Iterator[Candidate]:
    made = kernel(*FORWARDS, forward="return globals()[which](*args)")
    with Candidate(made, Device("emulator", "H200", "sm_90", "process"), limits=Limits()) as opened:
        opened.load()
        opened.build(InitState([], {}), seed=0)
        yield opened


@pytest.mark.parametrize("function", FORWARDS, ids=lambda f: f.__name__)
def test_operations_give_what_torch_gives(candidate: Candidate, function, monkeypatch) -> None:
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self: self)
    import numpy as np

    monkeypatch.setitem(globals(), "np", np)
    as_tensor = torch.as_tensor
    monkeypatch.setattr(torch, "as_tensor", lambda value, device=None: as_tensor(value))
    given = [torch.randn(6, 8), torch.randn(8, 6), torch.tensor([4, 1, 3])]
    with torch.no_grad():
        wanted = function(*[t.clone() for t in given])
    found = candidate.call([function.__name__, *given], expected_bytes=1 << 20, trace=True)
    flat = [t for each in wanted for t in ([*each] if isinstance(each, tuple) else [each])]
    have = [t for each in found.outputs for t in ([*each] if isinstance(each, tuple) else [each])]
    assert len(flat) == len(have)
    for number, (want, got) in enumerate(zip(flat, have, strict=True)):
        assert (want.shape, want.dtype) == (got.shape, got.dtype), number
        torch.testing.assert_close(got, want, equal_nan=True, msg=lambda text, n=number: f"output {n}: {text}")
    for before, after in zip(given, found.inputs_after, strict=True):
        assert torch.equal(before, after)
    # 4 for the largest, 8 for the number, 1 or 8 for each of three truths, 192 each for the list and the array
    assert found.pulled_bytes == 0 if function is not numbers_on_the_host else 384 < found.pulled_bytes < 440
    assert found.refusals == ()


def test_operations_are_priced_as_eager_ones(candidate: Candidate) -> None:
    from kernelwright.sandbox.optrace import trace_ops

    given = [torch.randn(6, 8), torch.randn(8, 6), torch.tensor([4, 1, 3])]
    _, wanted = trace_ops(lambda: layers(*given))
    found = candidate.call(["layers", *given], expected_bytes=1 << 20, trace=True)
    assert [(op.name, op.flops, op.kind) for op in found.ops] == [(op.name, op.flops, op.kind) for op in wanted]


def run(forward: str, *inputs: torch.Tensor, top: str = "", init: str = "pass"):
    text = f"{HEAD}{top}\nclass ModelNew(nn.Module):\n    def __init__(self):\n        super().__init__()\n        {init}\n"
    text += "    def forward(self, *args):\n" + "".join(f"        {line}\n" for line in forward.splitlines())
    with Candidate(Kernel(text, "t"), Device("emulator", "H200", "sm_90", "process"), limits=Limits()) as opened:
        opened.load()
        opened.build(InitState([], {}), seed=0)
        return opened.call(inputs, expected_bytes=1 << 20, trace=True)


def test_neither_weights_nor_a_seed_of_the_host_are_copies_of_a_call() -> None:
    found = run(
        "seed = int(torch.randint(0, 2**62, (1,)).item())\nreturn args[0] * self.w + float(seed >= 0)",
        torch.ones(300),
        init="self.w = nn.Parameter(torch.full((300,), 3.0))",
    )
    assert torch.equal(found.outputs, torch.full((300,), 4.0))
    assert not [op for op in found.ops if op.name == "host to device"]
    table = run("return args[0] + torch.tensor([5.0] * 300)", torch.ones(300))
    assert [op.bytes_written for op in table.ops if op.name == "host to device"] == [1200]


def test_memory_of_an_input_reads_as_zeros_and_no_emulator_is_there() -> None:
    seen = run(
        "import sys\n"
        "x = args[0]\n"
        "read = bytes((ctypes.c_char * x.nbytes).from_address(x.data_ptr()))\n"
        "loaded = any(name.startswith('kernelwright.sandbox.emulator') for name in sys.modules)\n"
        "return torch.tensor([sum(read), int(loaded)])",
        torch.randn(100),
    )
    assert seen.outputs.tolist() == [0, 0]
    assert seen.written == (False,)


def test_a_tensor_made_by_a_kernel_of_the_constructor_is_the_devices() -> None:
    top = (
        "import cupy\n"
        "K = cupy.RawModule(code='extern \"C\" __global__ void f(float* y) { y[threadIdx.x] = threadIdx.x; }')\n"
        "def made():\n    y = torch.empty(32)\n    K.get_function('f')((1,), (32,), (y.data_ptr(),))\n    return y\n"
    )
    found = run("return self.t, self.t + 1", top=top, init="self.t = made().t().contiguous() * 2")
    assert torch.equal(found.outputs[0], torch.arange(32) * 2.0)
    assert torch.equal(found.outputs[1], torch.arange(32) * 2.0 + 1)


def test_an_output_that_the_host_wrote_arrives_whole() -> None:
    x = torch.randn(3)
    found = run("return torch.full((1 << 16,), 2.0), args[0] + 1", x)
    assert torch.equal(found.outputs[0], torch.full((1 << 16,), 2.0))
    assert torch.equal(found.outputs[1], x + 1)
    assert found.written == (False, True)


@pytest.mark.parametrize(
    ("forward", "kind", "says"),
    [
        ("return torch.cat([args[0], torch.zeros(2, 2)], dim=1)", "launch", "torch refuses"),
        ("raise ValueError('no')", "python", "ValueError: no"),
        ("return args[0].to_sparse()", "unsupported", "sparse|tensor of"),
        (
            "i = torch.full((1, 1, 1, 1), 1 << 40)\n"
            "p = args[0][:2, :2].reshape(1, 1, 2, 2)\n"
            "return torch.ops.aten.adaptive_max_pool2d_backward.grad_input(p[:, :, :1, :1], p, i, grad_input=p.clone())",
            "launch",
            "adaptive_max_pool2d_backward do not belong together, or an index is out of range",
        ),
        (
            "return torch.segment_reduce(args[0][0], 'sum', offsets=torch.tensor([1 << 30, 1 << 31]), unsafe=True)",
            "unsupported",
            "aten::segment_reduce can't run",
        ),
    ],
)
def test_what_fails_is_said(forward: str, kind: str, says: str) -> None:
    with pytest.raises(CandidateFailure, match=says) as caught:
        run(forward, torch.randn(3, 3))
    assert caught.value.kind == kind
