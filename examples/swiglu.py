"""The gate of a SwiGLU feed-forward layer, 1024 x 2048 -> 1024 x 1024: SiLU of one half times the other (Shazeer 2020)."""

import torch
from torch import nn

TOKENS = 1024
HIDDEN = 1024


class Model(nn.Module):
    """Splits the last dimension into gate and value, and returns ``silu(gate) * value``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x`: (TOKENS, 2 * HIDDEN) float32, gate first; the result is (TOKENS, HIDDEN)."""
        gate, value = x.chunk(2, dim=-1)
        return nn.functional.silu(gate) * value


def get_inputs() -> list[torch.Tensor]:
    """The fused gate-and-value projection of each token."""
    return [torch.randn(TOKENS, 2 * HIDDEN)]


def get_init_inputs() -> list[object]:
    """`Model` takes no arguments."""
    return []
