"""A two-layer perceptron with GELU, 256 x 512 -> 1024 -> 512: two matrix products, each with its epilogue."""

import torch
from torch import nn

BATCH = 256
FEATURES = 512
HIDDEN = 1024


class Model(nn.Module):
    """``down(gelu(up(x)))``, the feed-forward block of a transformer."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(features, hidden)
        self.down = nn.Linear(hidden, features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x`: (BATCH, FEATURES) float32; the result has the same shape."""
        return self.down(nn.functional.gelu(self.up(x)))


def get_inputs() -> list[torch.Tensor]:
    """One batch of activations."""
    return [torch.randn(BATCH, FEATURES)]


def get_init_inputs() -> list[object]:
    """The width of the stream, and of the layer between."""
    return [FEATURES, HIDDEN]
