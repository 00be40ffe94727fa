"""Attention kernels against torch: forms, masks, sizes, types, and what surrounds them in a module."""

from __future__ import annotations

import math
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

from kernelwright.agents.builtin.attention_bounds import visible_band
from kernelwright.agents.builtin.lower import lower
from kernelwright.agents.builtin.spec import AttentionSpec
from kernelwright.sandbox.capture import capture

Case = Callable[[], tuple[nn.Module, tuple[Any, ...]]]
SDPA = F.scaled_dot_product_attention
INF = float("inf")


def half(*shape: int) -> torch.Tensor:
    return R(*shape).half()


def brain(*shape: int) -> torch.Tensor:
    return R(*shape).bfloat16()


def written(
    change: Callable[[torch.Tensor], torch.Tensor] = lambda s: s, scale: float = 0.3
) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]:
    """Attention as in the paper, with something done to the scores."""
    return lambda q, k, v: torch.softmax(change(q @ k.transpose(-2, -1) * scale), -1) @ v


def causal(scores: torch.Tensor, diagonal: int = 1) -> torch.Tensor:
    return scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(diagonal), -INF)


def window(scores: torch.Tensor) -> torch.Tensor:
    rows, columns = torch.arange(scores.shape[-2])[:, None], torch.arange(scores.shape[-1])[None, :]
    return scores.masked_fill((rows < columns) | (rows - columns > 9), -INF)


def some_hidden(rows: int, columns: int) -> torch.Tensor:
    """A mask under which one query sees no key."""
    seen = torch.rand(rows, columns) > 0.5
    seen[rows // 2] = False
    return seen


def additive(rows: int, columns: int) -> torch.Tensor:
    return torch.zeros(rows, columns).masked_fill(~some_hidden(rows, columns), -INF)


CASES: dict[str, Case] = {
    "torch's own": lambda: (Calls(SDPA), (R(2, 3, 20, 8), R(2, 3, 30, 8), R(2, 3, 30, 8))),
    "three dimensions": lambda: (Calls(SDPA), (half(3, 17, 40), half(3, 19, 40), half(3, 19, 11))),
    "causal": lambda: (Calls(lambda *x: SDPA(*x, is_causal=True)), (R(1, 2, 70, 16),) * 3),
    "causal, fewer queries": lambda: (
        Calls(lambda *x: SDPA(*x, is_causal=True)), (half(1, 2, 9, 16), half(1, 2, 40, 16), half(1, 2, 40, 16))),
    "boolean mask": lambda: (
        Calls(lambda *x: SDPA(*x[:3], attn_mask=x[3])),
        (R(2, 3, 20, 8), R(2, 3, 30, 8), R(2, 3, 30, 8), some_hidden(20, 30))),
    "additive mask": lambda: (
        Calls(lambda *x: SDPA(*x[:3], attn_mask=x[3])),
        (half(2, 3, 20, 8), half(2, 3, 30, 8), half(2, 3, 30, 8), additive(20, 30).half())),
    "grouped heads": lambda: (
        Calls(lambda *x: SDPA(*x, enable_gqa=True, is_causal=True, scale=0.2)),
        (brain(2, 6, 33, 24), brain(2, 2, 33, 24), brain(2, 2, 33, 24))),
    "written out": lambda: (Calls(written()), (R(2, 3, 37, 13), R(2, 3, 41, 13), R(2, 3, 41, 13))),
    "written out, causal": lambda: (Calls(written(causal)), (half(2, 3, 53, 13),) * 3),
    "added triangle": lambda: (
        Calls(written(lambda s: s + torch.triu(torch.full(s.shape[-2:], -INF), 1))), (R(2, 40, 8),) * 3),
    "tril == 0": lambda: (
        Calls(written(lambda s: s.masked_fill(torch.tril(torch.ones(s.shape[-2:])) == 0, -INF))),
        (R(2, 3, 20, 8), R(2, 3, 30, 8), R(2, 3, 30, 8))),
    "sliding window": lambda: (Calls(written(window)), (R(1, 2, 90, 8),) * 3),
    "a query that sees nothing": lambda: (Calls(written(lambda s: causal(s, 0))), (R(2, 40, 8),) * 3),
    "keys given transposed": lambda: (
        Calls(lambda q, k, v: torch.softmax(q @ k, -1) @ v), (R(2, 37, 16), R(2, 16, 41), R(2, 41, 16))),
    "soft cap, then a gate": lambda: (
        Calls(lambda q, k, v, g: written(lambda s: torch.tanh(s) * 5)(q, k, v) * torch.sigmoid(g) + 1),
        (half(2, 37, 16), half(2, 41, 16), half(2, 41, 16), half(2, 37, 16))),
    "names of matrices": lambda: (Named(), (R(2, 20, 8),) * 3),
}  # fmt: skip


class Named(nn.Module):
    """Arguments called as the template's own constants might be."""

    def forward(self, K: torch.Tensor, score: torch.Tensor, M: torch.Tensor) -> torch.Tensor:
        return written()(K, score, M)


DEFAULT = {"torch's own", "three dimensions", "boolean mask", "grouped heads", "written out, causal", "sliding window",
           "keys given transposed", "names of matrices"}  # fmt: skip


@pytest.mark.parametrize("name", [n if n in DEFAULT else pytest.param(n, marks=pytest.mark.tiles) for n in CASES])
def test_attention_is_one_kernel(runner: Runner, name: str) -> None:
    module, inputs = seeded(CASES[name])
    coder = check(runner, module, inputs, distributions=("mixed",))
    assert [r.kernel for r in runner.reports] == ["attention"]
    assert not coder.stays_in_torch


@pytest.mark.parametrize("shape", [(1, 37, 16), (37, 1, 16), (5, 7, 1), (1, 1, 1), (2, 2, 2)])
@pytest.mark.parametrize("make", [R, half])
def test_lengths_of_one(runner: Runner, make: Callable[..., torch.Tensor], shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    m, n, d = shape
    inputs = (make(2, 2, m, d), make(2, 2, n, d), make(2, 2, n, d))
    assert not check(runner, Calls(SDPA), inputs, distributions=("mixed",)).stays_in_torch


_SIZES = st.sampled_from([2, 3, 7, 16, 17, 31, 33, 64, 67])


@settings(max_examples=3, deadline=None, derandomize=True)
@given(m=_SIZES, n=_SIZES, d=_SIZES, c=_SIZES, dtype=st.sampled_from([R, half, brain]), hide=st.booleans())
def test_any_size(
    runner: Runner, m: int, n: int, d: int, c: int, dtype: Callable[..., torch.Tensor], hide: bool
) -> None:
    torch.manual_seed(m * n + d)
    inputs = (dtype(3, m, d), dtype(3, n, d), dtype(3, n, c))
    # scores of large halves overflow in torch, whose answer is NaN then; the kernel keeps them in float32
    values = "mixed" if dtype is half else "large"
    check(runner, Calls(written(causal) if hide else written()), inputs, distributions=(values,))
    assert [r.kernel for r in runner.reports] == ["attention"]


_KNOBS = ("tile_q", "tile_k", "threads", "vector_width", "prefetch", "tensor_cores")


@pytest.mark.parametrize(
    ("make", "values"),
    [
        (R, (64, 32, 128, 4, False, False)),
        (R, (32, 64, 256, 2, True, False)),
        (R, (16, 8, 32, 1, False, False)),
        (half, (64, 32, 128, 8, False, False)),
        (half, (64, 64, 128, 8, True, True)),
        (half, (64, 32, 64, 1, False, True)),
        (brain, (128, 16, 256, 4, False, True)),
    ],
)
def test_every_division_of_the_work(
    runner: Runner, make: Callable[..., torch.Tensor], values: tuple[int | bool, ...]
) -> None:
    torch.manual_seed(0)
    module, inputs = Calls(written(causal)), (make(2, 75, 24), make(2, 75, 24), make(2, 75, 24))
    coder = coder_for(module, inputs)
    knobs = {f"attention.{k}": v for k, v in zip(_KNOBS, values, strict=True)}
    knobs = {k: v for k, v in knobs.items() if k in coder.space}
    assert coder.changed(coder.defaults, knobs) == {**coder.defaults, **knobs}, "legal as it is"
    check(runner, module, inputs, distributions=(), parameters=knobs, coder=coder)


@pytest.mark.long
def test_wide_heads_ask_for_dynamic_shared_memory(runner: Runner) -> None:
    torch.manual_seed(0)
    module, inputs = Calls(SDPA), (R(1, 40, 256),) * 3
    coder = coder_for(module, inputs)
    knobs = {"attention.tile_q": 32, "attention.tile_k": 16, "attention.threads": 128}
    check(runner, module, inputs, distributions=(), parameters=knobs, coder=coder)
    (report,) = runner.reports
    assert report.dynamic_shared > 48 * 1024
    assert report.counters.global_store_bytes == 4 * 40 * 256, "no scores in memory"


@pytest.mark.parametrize("scale", [1e2, 1e6])
@pytest.mark.parametrize("make", [R, brain])
def test_large_scores_cost_no_digits(runner: Runner, make: Callable[..., torch.Tensor], scale: float) -> None:
    """The probability of the highest score is one, however large that score."""
    torch.manual_seed(0)
    inputs = tuple(scale * make(2, 50, 16) for _ in range(3))
    check(runner, Calls(written(scale=1.0)), inputs, distributions=())


def test_scores_that_somebody_else_needs_are_stored(runner: Runner) -> None:
    def both(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        shares = torch.softmax(q @ k.transpose(1, 2), -1)
        return shares @ v, shares

    check(runner, Calls(both), (R(2, 37, 16), R(2, 41, 16), R(2, 41, 16)), distributions=())
    assert len(runner.reports) == 3


class SelfAttention(nn.Module):
    """Heads taken apart and put together again, as language models do."""

    def __init__(self, width: int, heads: int, own: bool) -> None:
        super().__init__()
        self.heads, self.own = heads, own
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, c = x.shape
        parts = self.qkv(x).split(c, -1)
        q, k, v = (y.view(b, t, self.heads, c // self.heads).transpose(1, 2) for y in parts)
        plain = written(causal, 1 / math.sqrt(c // self.heads))
        y = SDPA(q, k, v, is_causal=True) if self.own else plain(q, k, v)
        return self.out(y.transpose(1, 2).contiguous().view(b, t, c))


class TorchsOwn(nn.Module):
    """torch.nn.MultiheadAttention, batch first."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(24, 3, batch_first=True)
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attention(x, x, x, need_weights=False)[0]  # type: ignore[no-any-return]


def test_attention_and_products_share_tensor_cores(runner: Runner) -> None:
    torch.manual_seed(0)
    module = SelfAttention(64, 2, own=True).half()
    coder = check(runner, module, (half(1, 64, 64),), distributions=())
    assert not coder.stays_in_torch
    tensor = [r.kernel for r in runner.reports if r.counters.flops.get("tensor")]
    assert len(tensor) == len(runner.reports) == 3


@pytest.mark.parametrize(
    ("make", "launches"),
    [
        (lambda: SelfAttention(24, 3, own=True), 3),
        (lambda: SelfAttention(24, 3, own=False), 3),
        (TorchsOwn, 4),
    ],
)
def test_projections_need_no_copies_of_heads(runner: Runner, make: Callable[[], nn.Module], launches: int) -> None:
    torch.manual_seed(0)
    module, inputs = make(), (R(2, 21, 24),)
    coder = check(runner, module, inputs, distributions=("mixed",))
    assert not coder.stays_in_torch
    assert len(runner.reports) == launches


@pytest.mark.parametrize(
    ("change", "low", "high"),
    [
        (lambda s: s, None, None),
        (causal, None, 0),
        (lambda s: causal(s, 3), None, 2),
        (lambda s: causal(s, 0), None, -1),
        (window, -9, 0),
        (lambda s: s + torch.triu(torch.full(s.shape[-2:], -INF), 1), None, 0),
        (lambda s: s.masked_fill(torch.tril(torch.ones(s.shape[-2:])) == 0, -INF), None, 0),
        (lambda s: s.masked_fill(torch.ones(s.shape[-2:], dtype=torch.bool).triu(1), -1e9), None, None),
    ],
)  # fmt: skip
def test_hidden_keys_are_those_of_the_mask(
    change: Callable[[torch.Tensor], torch.Tensor], low: int | None, high: int | None
) -> None:
    (kernel,) = lower(capture(Calls(written(change)), (R(2, 30, 8), R(2, 40, 8), R(2, 40, 8)))).kernels
    assert isinstance(kernel.spec, AttentionSpec)
    band = visible_band(kernel.spec)
    assert (band.low, band.high) == (low, high)
    hidden = change(torch.zeros(30, 40)) == -INF
    for m, n in hidden.logical_not().nonzero().tolist():
        assert low is None or n >= m + low
        assert high is None or n <= m + high


def test_causal_blocks_leave_out_tiles(runner: Runner) -> None:
    """Half of the key tiles, and those on the diagonal."""
    inputs = (R(1, 256, 16),) * 3
    loads = []
    for change in (causal, lambda s: s):
        coder = coder_for(Calls(written(change)), inputs)
        knobs = {"attention.tile_q": 16, "attention.tile_k": 16, "attention.threads": 32}
        check(runner, Calls(written(change)), inputs, distributions=(), parameters=knobs, coder=coder)
        loads.append(runner.reports[0].counters.global_load_bytes)
    queries = 256 * 16 * 4
    assert (loads[0] - queries) / (loads[1] - queries) == pytest.approx(136 / 256)
