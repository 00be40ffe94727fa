"""Reductions and what is built on them, against torch: row layouts, strategies, splits, ties, NaN, shapes drawn at random."""

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


def _reductions(x: torch.Tensor) -> Any:
    return (
        x.sum(-1), x.mean(-1), x.amax(-1), x.amin(-1), x.max(-1)[0], x.max(-1)[1], x.argmin(-1), x.var(-1), x.std(-1, correction=0),
        x.prod(-1), (x > 1).any(-1), (x > -3).all(-1), torch.logsumexp(x, -1), x.norm(dim=-1), x.norm(1, dim=-1), x.norm(3.0, dim=-1),
        x.norm(float("inf"), dim=-1), (x > 0).sum(-1), torch.var_mean(x, -1)[1], x.argmax(-1, keepdim=True),
    )  # fmt: skip


def _integer_reductions(a: torch.Tensor) -> Any:
    return (
        a.sum(-1), a.max(-1)[0], a.max(-1)[1], a.min(0)[0], a.amax(), a.argmin(-1), (a > 3).sum(), (a > 3).any(-1), (a > -100).all(),
        a.prod(0), a.float().mean(1), a.to(torch.int32).amax(1), a.bool().sum(0),
    )  # fmt: skip


def _losses(x: torch.Tensor, y: torch.Tensor) -> Any:
    return (
        F.mse_loss(x, y), F.smooth_l1_loss(x, y), F.huber_loss(x, y), F.l1_loss(x, y), F.binary_cross_entropy_with_logits(x, y.sigmoid()),
        F.triplet_margin_loss(x, y, x + y), F.cosine_similarity(x, y), F.normalize(x), torch.clamp(1 - x * y, min=0).mean(),
    )  # fmt: skip


CASES: dict[str, tuple[Case, int]] = {
    "reductions_of_rows": (lambda: (Calls(_reductions), (R(40, 70),)), 1),
    "integers": (lambda: (Calls(_integer_reductions), (torch.randint(-9, 9, (6, 17)),)), 3),
    "all_elements": (lambda: (Calls(lambda x: (x.sum(), x.argmax(), x.amax(), x.mean() * 2, x.std())), (R(50, 61),)), 1),
    "leading_dimension": (lambda: (Calls(lambda x: (x.sum(0), x.mean(0), x.std(0), x.argmax(0))), (R(37, 130),)), 1),
    "middle_dimension": (lambda: (Calls(lambda x: (x.sum(1), x.amax(1, keepdim=True) - x)), (R(4, 6, 33),)), 1),
    "outer_and_inner": (lambda: (Calls(lambda x: (x.mean((0, 2)), x.var((0, 2), keepdim=True))), (R(4, 6, 33),)), 1),
    "softmax_of_channels": (lambda: (nn.Softmax(1), (R(4, 37, 65),)), 1),
    "log_softmax_both": (lambda: (Calls(lambda x: (F.log_softmax(x, 0), F.log_softmax(x, 1))), (R(30, 40),)), 2),
    "group_norm_silu": (lambda: (nn.Sequential(nn.GroupNorm(4, 16), nn.SiLU()), (R(3, 16, 4, 5),)), 1),
    "instance_norm": (lambda: (nn.InstanceNorm2d(6, affine=True), (R(4, 6, 7, 3),)), 1),
    "layer_norm_two_dims": (lambda: (nn.LayerNorm([5, 7]), (R(9, 5, 7),)), 1),
    "residual_layer_norm": (
        lambda: (Calls(lambda x, r: (x + r, F.layer_norm(x + r, (64,)) * 2)), (R(16, 64), R(16, 64))),
        1,
    ),
    "norm_then_divide": (lambda: (Calls(lambda x: x / x.norm()), (R(30, 37),)), 1),
    "losses": (lambda: (Calls(_losses), (R(40, 80), R(40, 80))), 3),
    "softmax_after_transpose": (lambda: (Calls(lambda x: torch.softmax(x.transpose(1, 2), -1)), (R(3, 20, 11),)), 1),
    "causal_softmax": (
        lambda: (Calls(lambda s: (s + torch.triu(torch.full((12, 12), float("-inf")), 1)).softmax(-1)), (R(2, 12, 12),)),
        1,
    ),
    "smoothed_cross_entropy": (
        lambda: (nn.CrossEntropyLoss(label_smoothing=0.1), (R(12, 9), torch.randint(0, 9, (12,)))),
        2,
    ),
    "weighted_nll": (
        lambda: (nn.NLLLoss(torch.rand(9)), (R(12, 9).log_softmax(-1), torch.randint(0, 9, (12,)))),
        1,
    ),
    "one_column": (lambda: (Calls(lambda x: (x.softmax(-1), x.sum(-1), F.layer_norm(x, (1,)), x.argmax(-1))), (R(7, 1),)), 1),
    "double": (lambda: (Calls(lambda x: (x.softmax(-1), x.exp().sum(0))), (R(5, 9).double(),)), 2),
    "half": (lambda: (Calls(lambda x: (x.softmax(-1), F.layer_norm(x, (256,)), x.sum(-1), x.argmax(-1))), (R(9, 256).half(),)), 1),
    "bfloat16": (lambda: (nn.RMSNorm(64).bfloat16(), (R(9, 64).bfloat16(),)), 1),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_rows(runner: Runner, name: str) -> None:
    make, launches = CASES[name]
    module, inputs = seeded(make)
    distributions = {"weighted_nll": (), "half": ("zeros",), "bfloat16": ("zeros",)}.get(
        name, ("large", "mixed", "constant")
    )
    coder = check(runner, module, inputs, distributions=distributions)
    assert not coder.stays_in_torch
    assert len(runner.reports) == launches


@pytest.mark.parametrize("strategy", ["registers", "loop", "online"])
@pytest.mark.parametrize("threads", [32, 256])
def test_every_strategy_of_a_softmax(runner: Runner, strategy: str, threads: int) -> None:
    module, inputs = nn.Softmax(-1), (R(7, 1012),)
    parameters = {"strategy": strategy, "threads": threads, "rows_per_block": 1, "vector_width": 2}
    check(runner, module, inputs, parameters={f"softmax_rows.{k}": v for k, v in parameters.items()})


def test_a_later_pass_counts_its_steps_though_the_first_did_not(runner: Runner) -> None:
    """Few lanes and narrow loads: a sum of many steps in pass 2, behind a maximum that needs no count."""
    parameters = {"strategy": "loop", "threads": 64, "rows_per_block": 4, "vector_width": 1}
    given = {f"softmax_rows.{k}": v for k, v in parameters.items()}
    check(runner, nn.Softmax(-1), (R(7, 1012),), distributions=("large",), parameters=given)


@pytest.mark.parametrize("split", [2, 8])
def test_rows_shared_by_blocks(runner: Runner, split: int) -> None:
    def function(x: torch.Tensor) -> Any:
        return x.sum(-1), x.argmax(-1), x.amin(-1), x.max(-1)[1] * 2, (x > 3).any(-1), x.square().mean(-1).sqrt()

    module, inputs = Calls(function), (R(3, 5003),)
    coder = coder_for(module, inputs)
    (name,) = {p.partition(".")[0] for p in coder.space}
    check(runner, module, inputs, parameters={f"{name}.split": split, f"{name}.strategy": "loop"}, coder=coder)
    assert [r.kernel for r in runner.reports] == [name, f"{name}_finish"]
    # a block takes whole steps of its lanes, so the last ones may find nothing left
    assert split / 2 < runner.reports[0].grid[1] <= split


def test_long_rows_round_no_worse_than_torch(runner: Runner) -> None:
    """300,000 equal numbers added one after another in float32 would lose five digits."""
    module = Calls(lambda x: (x.sum(-1), x.mean(-1), x.var(-1)))
    check(runner, module, (R(2, 300_000),), distributions=("constant", "large", "mixed"))


def test_ties_and_nan(runner: Runner) -> None:
    x = torch.zeros(5, 45)
    x[1, 30] = x[1, 40] = 1.0
    x[2, 17] = x[2, 18] = float("nan")
    x[3, 5], x[3, 44] = float("inf"), float("-inf")
    module = Calls(
        lambda x: (x.argmax(-1), x.argmin(-1), x.max(-1)[0], x.max(-1)[1], x.amin(-1), x.sum(-1), x.mean(-1))
    )
    check(runner, module, (x,), distributions=())


def test_a_constant_row_has_no_variance(runner: Runner) -> None:
    x = torch.full((3, 1000), 123.456)
    model = runner.load(
        coder_for(nn.LayerNorm(1000), (x,)).write(coder_for(nn.LayerNorm(1000), (x,)).defaults)[0]
    ).ModelNew()
    model.load_state_dict(nn.LayerNorm(1000).state_dict())
    assert torch.equal(runner.call(model, (x,)), torch.zeros(3, 1000))


def test_no_elements(runner: Runner) -> None:
    module = Calls(lambda x: (x.softmax(-1), x.sum(0), x.sum(1), x.prod(0), (x > 0).all(0), x.mean(0)))
    check(runner, module, (R(0, 5),), distributions=())
    assert len(runner.reports) == 1  # the identities of the sums; what is empty needs no launch


_EXTENTS = st.sampled_from([1, 2, 3, 5, 8, 17, 31, 32, 33, 64, 101, 260])


@settings(max_examples=6, deadline=None, derandomize=True)
@given(
    shape=st.lists(_EXTENTS, min_size=1, max_size=3).filter(lambda s: torch.Size(s).numel() < 40_000), data=st.data()
)
def test_any_shape_and_dimension(runner: Runner, shape: list[int], data: st.DataObject) -> None:
    dim = data.draw(st.integers(0, len(shape) - 1))

    def function(x: torch.Tensor) -> Any:
        return (x * 2).softmax(dim), x.sum(dim), x.argmax(dim), (x - x.mean(dim, keepdim=True)).tanh(), x.amin(dim)

    check(runner, Calls(function), (R(shape),), distributions=("large",))


@settings(max_examples=5, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_legal_parameters(runner: Runner, data: st.DataObject) -> None:
    rows, columns = data.draw(st.sampled_from([(5, 512), (37, 96), (130, 24)]))
    module, inputs = nn.LayerNorm(columns), (R(rows, columns),)
    coder = coder_for(module, inputs)
    choice = dict(coder.defaults)
    for name, values in coder.space.items():
        choice = coder.changed(choice, {name: data.draw(st.sampled_from(values))}) or choice
    check(runner, module, inputs, distributions=("large",), parameters=choice, coder=coder)
