"""Gradients under the numeric policy: sums over a whole batch, added one after the other, are honest; half precision is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.bench_tasks.task import Distribution, NumericPolicy
from kernelwright.sandbox.reference import Reference
from kernelwright.verifier.correctness import compare_outputs

_TASK = """
import torch
import torch.nn.functional as F
BACKWARD = True
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn({weight}))
    def forward(self, x):
        return {forward}
def get_inputs():
    return [torch.randn({x})]
"""


def _one_after_the_other(terms: torch.Tensor) -> torch.Tensor:
    """Sums over the first dimension."""
    total = torch.zeros_like(terms[0])
    for term in terms:
        total = total + term
    return total


def _layer_norm(x: torch.Tensor, w: torch.Tensor, g: torch.Tensor) -> list[Any]:
    mean = x.mean(-1, keepdim=True)
    scale = torch.rsqrt((x - mean).square().mean(-1, keepdim=True) + 1e-5)
    normal = (x - mean) * scale
    gw = g * w
    by_x = scale * (gw - gw.mean(-1, keepdim=True) - normal * (gw * normal).mean(-1, keepdim=True))
    return [normal * w, [by_x, _one_after_the_other(g * normal)]]


def _softmax(x: torch.Tensor, w: torch.Tensor, g: torch.Tensor) -> list[Any]:
    share = torch.exp(x - x.amax(-1, keepdim=True))
    share = share / share.sum(-1, keepdim=True)
    by_share = g * w
    dot = _one_after_the_other((by_share * share).movedim(-1, 0)).unsqueeze(-1)
    return [share * w, [share * (by_share - dot), _one_after_the_other(g * share)]]


def _convolution(x: torch.Tensor, w: torch.Tensor, g: torch.Tensor) -> list[Any]:
    y = torch.conv2d(x, w, padding=1)
    by_x = torch.conv_transpose2d(g, w, padding=1)
    patches = torch.nn.functional.unfold(x, 3, padding=1)  # (batch, 9 * channels, places)
    per_place = torch.einsum("bop,bcp->bpoc", g.flatten(2), patches).flatten(0, 1)
    return [y, [by_x, _one_after_the_other(per_place).reshape(w.shape)]]


_CASES: dict[str, tuple[dict[str, str], Callable[..., list[Any]]]] = {
    "layer norm": ({"weight": "16", "forward": "F.layer_norm(x, (16,), self.weight)", "x": "4096, 16"}, _layer_norm),
    "softmax": ({"weight": "64", "forward": "torch.softmax(x, -1) * self.weight", "x": "2048, 64"}, _softmax),
    "convolution": (
        {"weight": "4, 3, 3, 3", "forward": "torch.conv2d(x, self.weight, padding=1)", "x": "4, 3, 24, 24"},
        _convolution,
    ),
}


@pytest.mark.parametrize("case", _CASES)
def test_sequential_sums_pass_and_half_precision_does_not(case):
    fields, compute = _CASES[case]
    with Reference(task_from_source(_TASK.format(**fields), name="gradient")) as reference:
        for distribution in (Distribution.NORMAL, Distribution.MIXED, Distribution.CONSTANT):
            x, (g,) = inputs = reference.inputs(distribution, seed=17)
            expected = reference.run(inputs, weights_seed=5)
            w = reference.init(5).state["weight"]
            mismatch, _ = compare_outputs(compute(x, w, g), expected, NumericPolicy())
            assert mismatch is None, (distribution, mismatch)
            if distribution is Distribution.NORMAL:
                outputs, halves = compute(x, w, g.half().float())
                mismatch, _ = compare_outputs([outputs, halves], expected, NumericPolicy())
                assert mismatch is not None
                assert mismatch.output > 0  # forward is right
