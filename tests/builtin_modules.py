"""Small modules that tests hand to the built-in coder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class Calls(nn.Module):
    """A function of its inputs as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Any) -> Any:
        return self.function(*inputs)


class GeluBiasDropoutResidual(nn.Module):
    """residual + dropout(gelu(x + bias)), dropout off."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.randn(width))
        self.dropout = nn.Dropout(0.1)
        self.eval()

    def forward(self, x: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        return residual + self.dropout(F.gelu(x + self.bias))


class SwiGLU(nn.Module):
    """The gated feed-forward layer of current language models."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


def seeded(make: Callable[[], tuple[nn.Module, tuple[Any, ...]]]) -> tuple[nn.Module, tuple[Any, ...]]:
    """The module and inputs, always the same weights and values."""
    torch.manual_seed(0)
    return make()


R = torch.randn
"""Short, since the tables below are read by shape."""
