"""A linear layer with ReLU, 512 x 512 -> 512 x 512: a matrix product with a pointwise epilogue."""

import torch
from torch import nn

BATCH = 512
IN_FEATURES = 512
OUT_FEATURES = 512


class Model(nn.Module):
    """``relu(x @ weight.T + bias)``."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x`: (BATCH, IN_FEATURES) float32; the result is (BATCH, OUT_FEATURES)."""
        return torch.relu(self.linear(x))


def get_inputs() -> list[torch.Tensor]:
    """One batch of activations."""
    return [torch.randn(BATCH, IN_FEATURES)]


def get_init_inputs() -> list[object]:
    """The widths of the layer."""
    return [IN_FEATURES, OUT_FEATURES]
