"""Inputs that hardly differ: what a careless key would take for the same."""

from __future__ import annotations

import torch

from kernelwright.verifier.near_inputs import nearly_same


def test_only_the_order_of_the_middle_differs() -> None:
    x = torch.randn(6, 8)
    before = x.clone()
    (y,) = nearly_same([x])
    assert torch.equal(x, before)
    assert torch.equal(y.reshape(-1).sort().values, x.reshape(-1).sort().values)
    assert torch.equal(y.reshape(-1)[:12], x.reshape(-1)[:12])
    assert torch.equal(y.reshape(-1)[36:], x.reshape(-1)[36:])
    assert torch.equal(y.reshape(-1)[13:36], x.reshape(-1)[12:35])


def test_strides_and_nesting_stay() -> None:
    x = torch.randn(8, 6).t()
    y = nearly_same([[x], 3])
    assert y[0][0].stride() == (1, 6)
    assert not torch.equal(y[0][0], x)
    assert y[1] == 3


def test_integers_and_small_tensors_stay() -> None:
    given = [torch.arange(20), torch.ones(3), torch.empty(0), torch.tensor(2.0)]
    assert all(torch.equal(a, b) for a, b in zip(given, nearly_same(given), strict=True))
