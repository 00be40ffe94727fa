"""Pointwise kernels against torch: functions, dtypes, broadcasting, views, padding, indexing, and shapes drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from builtin_harness import Runner, check, coder_for
from builtin_modules import Calls, R, seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

Case = Callable[[], tuple[nn.Module, tuple[Any, ...]]]


def _activations(x: torch.Tensor, y: torch.Tensor) -> Any:
    return (
        F.hardswish(x), F.hardsigmoid(x), F.hardtanh(x), F.softplus(x), F.softplus(x, 2.0, 5.0), F.mish(x), F.elu(x, 0.7),
        F.selu(x), F.celu(x), F.leaky_relu(x), F.relu6(x), F.silu(x) * y, F.gelu(x), F.gelu(x, approximate="tanh"),
        F.logsigmoid(x), F.softsign(x), F.tanhshrink(x), F.hardshrink(x), F.softshrink(x), F.threshold(x, 0.1, 20.0),
    )  # fmt: skip


def _functions(x: torch.Tensor, y: torch.Tensor) -> Any:
    positive = x.abs() + 0.5
    return (
        x.exp(), x.expm1(), positive.log(), positive.log2(), x.abs().log1p(), x.sin(), x.cos(), x.tanh(), x.erf(), x.sigmoid(),
        x.abs().sqrt(), positive.rsqrt(), positive.reciprocal(), x.floor(), x.ceil(), x.round(), x.trunc(), -x, x.sign(),
        x**2, x**3, positive**0.5, positive**1.7, torch.maximum(x, y), torch.minimum(x, y), x.clamp(-0.5, 0.5), x.clamp(min=y),
        torch.fmod(x, 0.7), torch.remainder(x, 0.7), torch.atan2(x, y), torch.lerp(x, y, 0.3), torch.addcmul(x, x, y, value=2.0),
        torch.addcdiv(x, x, positive, value=0.5), torch.add(x, y, alpha=3), torch.sub(x, y, alpha=0.5), 2 - x, 1 / positive,
        torch.where(x > y, x, y), (x > 0) & (y < 0), torch.logical_not(x > 0), torch.isnan(x), x.double(), x.bool(),
    )  # fmt: skip


def _integers(a: torch.Tensor, b: torch.Tensor) -> Any:
    return (
        a + b, a - 2 * b, a // 3, a % 5, torch.fmod(a, 5), (a > b) & (b < 7), torch.where(a > b, a, b), a.float() / 3, a / b.abs().clamp(min=1),
        a.to(torch.int32), a.to(torch.uint8), ~(a > 2), -a, a.abs(), a ^ b, a | b, ~a, a**2, a.clamp(-3, 4), (a > 0) ^ (b > 0), a == b,
        a.to(torch.int32) * 1000003, a.bool().float(),
    )  # fmt: skip


def _views(x: torch.Tensor) -> Any:
    return (
        x.t() * 2, x[:, 1::2] + 1, x.reshape(4, 3, 10).transpose(0, 2) + 1, x.flip(1) * 3, F.pad(x, (1, 2, 0, 3), value=-1.0) * 2,
        x.t().contiguous(), x.unsqueeze(1).expand(12, 3, 10) - 1, x.repeat(2, 3) * 1.5, torch.roll(x, 3, 1), x.t(), x[3] + x[:, 2].sum(),
    )  # fmt: skip


class _PerChannel(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(R(channels, 1, 1))
        self.inner = nn.ModuleDict({"shift": nn.PReLU(channels)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner["shift"](x * self.scale)


CASES: dict[str, Case] = {
    "activations": lambda: (Calls(_activations), (R(13, 7), R(13, 7))),
    "functions": lambda: (Calls(_functions), (R(11, 6), R(11, 6))),
    "integers": lambda: (Calls(_integers), (torch.randint(-20, 20, (6, 7)), torch.randint(-20, 20, (6, 7)))),
    "views": lambda: (Calls(_views), (R(12, 10),)),
    "per_channel": lambda: (_PerChannel(3), (R(2, 3, 5, 8),)),
    "batch_norm": lambda: (_trained_norm(), (R(4, 6, 5, 4),)),
    "broadcast": lambda: (Calls(lambda x, y, z: (x + y) * z - 1), (R(5, 1, 8), R(7, 1), R(8))),
    "rotary": lambda: (
        Calls(lambda x, c, s: x * c + torch.cat([-x[..., 8:], x[..., :8]], -1) * s),
        (R(2, 3, 5, 16), R(5, 16), R(5, 16)),
    ),
    "cat_stack": lambda: (
        Calls(lambda a, b: (torch.cat([a, b * 2], 1), torch.stack([a[:, :3], b], 1), torch.cat([a, b, a], 1).relu())),
        (R(4, 5), R(4, 3)),
    ),
    "gated": lambda: (nn.GLU(), (R(6, 10, 16),)),
    "embedding": lambda: (nn.Sequential(nn.Embedding(10, 12), nn.Tanh()), (torch.randint(0, 10, (3, 5)),)),
    "indexing": lambda: (
        Calls(lambda x, i: (x[i], x[:, i], x.index_select(1, i), torch.gather(x * 2, 1, i[None].expand(6, 4)), x[-1])),
        (R(6, 7), torch.tensor([1, 0, 3, -2]).remainder(6)),
    ),
    "constants": lambda: (
        Calls(lambda x: x * torch.tensor([1.0, -2.0, float("inf")]) + torch.arange(3)),
        (R(4, 3),),
    ),
    "half": lambda: (Calls(lambda x, y: (F.silu(x) * y, x.float() * 2, (x + 1).bfloat16())), (R(40, 64).half(), R(40, 64).half())),
    "dictionary": lambda: (Calls(lambda x, y: {"sum": x + y, "pair": [x - y, (y, 3)]}), (R(9), R(9))),
}  # fmt: skip


def _trained_norm() -> nn.Module:
    norm = nn.BatchNorm2d(6)
    norm.running_mean, norm.running_var = R(6), R(6).abs() + 0.5
    return norm.eval()


@pytest.mark.parametrize("name", CASES)
def test_pointwise(runner: Runner, name: str) -> None:
    module, inputs = seeded(CASES[name])
    distributions = () if name in ("functions", "integers") else ("normal", "large", "zeros")
    coder = check(runner, module, inputs, distributions=distributions)
    assert not coder.stays_in_torch


def test_nan_infinity_and_negative_zero(runner: Runner) -> None:
    special = torch.tensor([float("nan"), float("inf"), float("-inf"), -0.0, 0.0, 1e-40, -3.5, 2.0])
    a, b = torch.meshgrid(special, special, indexing="ij")

    def function(x: torch.Tensor, y: torch.Tensor) -> Any:
        extremes = (
            torch.maximum(x, y),
            torch.minimum(x, y),
            x.relu(),
            x.clamp(-1, 1),
            x.sign(),
            F.hardtanh(x),
            F.leaky_relu(x),
        )
        return (
            *extremes,
            x.tanh(),
            x.sigmoid(),
            F.silu(x.abs()),
            x.exp(),
            torch.isnan(x),
            torch.isinf(x),
            x > y,
            x != y,
        )

    check(runner, Calls(function), (a.contiguous(), b.contiguous()), distributions=())


def test_one_kernel_for_a_chain_with_two_results(runner: Runner) -> None:
    check(runner, Calls(lambda x, y: (torch.tanh(x + y), (x + y).exp() * 2)), (R(8, 12), R(12)), distributions=())
    assert len(runner.reports) == 1


def test_not_contiguous_and_misaligned_inputs_are_taken(runner: Runner) -> None:
    coder = coder_for(Calls(lambda x: x * 2 + 1), (R(4096, 64),))
    assert [v for k, v in coder.defaults.items() if k.endswith("vector_width")] == [2]
    model = runner.load(coder.write(coder.defaults)[0]).ModelNew()
    for x in (R(64, 4096).t(), R(4096 * 64 + 1)[1:].view(4096, 64)):
        assert torch.equal(runner.call(model, (x,)), x * 2 + 1)


def test_other_shapes_are_refused(runner: Runner) -> None:
    coder = coder_for(nn.ReLU(), (R(4, 5),))
    model = runner.load(coder.write(coder.defaults)[0]).ModelNew()
    with pytest.raises(
        ValueError, match=r"input: these kernels are for torch.float32 of shape \(4, 5\), got torch.float32"
    ):
        runner.call(model, (R(5, 4),))
    with pytest.raises(ValueError, match=r"got torch.float64"):
        runner.call(model, (R(4, 5).double(),))


_EXTENTS = st.sampled_from([0, 1, 2, 3, 4, 5, 7, 8, 13, 16, 31, 32, 33, 64, 97])


@settings(max_examples=6, deadline=None, derandomize=True)
@given(shape=st.lists(_EXTENTS, min_size=0, max_size=3), flat=st.data())
def test_any_shape_and_broadcast(runner: Runner, shape: list[int], flat: st.DataObject) -> None:
    other = [1 if flat.draw(st.booleans()) else n for n in shape]
    other = other[flat.draw(st.integers(0, len(other))) :]
    module = Calls(lambda x, y: (F.gelu(x + y) * x, (x - y).sigmoid(), y.sin()))
    check(runner, module, (R(shape), R(other)), distributions=("large",))


@settings(max_examples=6, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_legal_parameters(runner: Runner, data: st.DataObject) -> None:
    module, inputs = Calls(lambda x, y: (x + y).tanh() * x), (R(24, 40), R(40))
    coder = coder_for(module, inputs)
    chosen = {name: data.draw(st.sampled_from(values)) for name, values in coder.space.items()}
    check(runner, module, inputs, distributions=(), parameters=chosen, coder=coder)


def _recurrence(gates: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    state, states = torch.zeros_like(x[:, 0]), []
    for share, entering in zip(gates.sigmoid().unbind(1), x.unbind(1), strict=True):
        state = share * state + entering
        states.append(state)
    return torch.stack(states, 1)


def test_a_recurrence_over_steps_grows_with_their_number_and_not_with_its_square(runner: Runner) -> None:
    """Each state is computed from the one before it, once; written out for every place of the result it would be 1.4 MB at 100 steps."""
    steps = (24, 48)
    sources = []
    for count in steps:
        coder = coder_for(Calls(_recurrence), (R(2, count, 8), R(2, count, 8)))
        sources.append(coder.write(coder.defaults)[0])
    assert len(sources[1]) < 2.5 * len(sources[0])
    check(runner, Calls(_recurrence), (R(2, 24, 8), R(2, 24, 8)), distributions=("normal",))
