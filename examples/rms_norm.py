"""RMS normalisation of 1024 tokens with 1024 features, written out in elementary operations.

Eager PyTorch runs one kernel per operation (square, mean, add, rsqrt, two products) and moves the matrix through
memory again and again; one fused kernel reads it once.
"""

import torch
from torch import nn

TOKENS = 1024
FEATURES = 1024


class Model(nn.Module):
    """Divides each token by its root mean square, then scales each feature (Zhang and Sennrich 2019)."""

    def __init__(self, features: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(1.0 + 0.2 * torch.randn(features))
        self.epsilon = epsilon

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x`: (TOKENS, FEATURES) float32; the result has the same shape."""
        mean_square = x.pow(2).mean(dim=-1, keepdim=True)
        return x * torch.rsqrt(mean_square + self.epsilon) * self.weight


def get_inputs() -> list[torch.Tensor]:
    """One matrix of activations."""
    return [torch.randn(TOKENS, FEATURES)]


def get_init_inputs() -> list[object]:
    """The number of features, and the epsilon under the root."""
    return [FEATURES, 1e-6]
