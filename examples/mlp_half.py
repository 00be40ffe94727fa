"""A two-layer perceptron with GELU in half precision, 256 x 512 -> 1024 -> 512: two matrix products on tensor cores."""

import torch
from torch import nn

BATCH = 256
FEATURES = 512
HIDDEN = 1024


class Model(nn.Module):
    """``down(gelu(up(x)))`` in float16, the feed-forward block of a transformer."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(features, hidden, dtype=torch.float16)
        self.down = nn.Linear(hidden, features, dtype=torch.float16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x`: (BATCH, FEATURES) float16; the result has the same shape."""
        return self.down(nn.functional.gelu(self.up(x)))


def get_inputs() -> list[torch.Tensor]:
    """One batch of activations."""
    return [torch.randn(BATCH, FEATURES, dtype=torch.float16)]


def get_init_inputs() -> list[object]:
    """The width of the stream, and of the layer between."""
    return [FEATURES, HIDDEN]
