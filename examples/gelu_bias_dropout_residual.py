"""The end of a transformer's feed-forward block at inference: bias, GELU, dropout, residual, on (8, 128, 768).

Dropout is the identity in evaluation mode, and the other three are pointwise: one kernel can do what eager PyTorch
does in three.
"""

import torch
from torch import nn

BATCH = 8
SEQUENCE = 128
FEATURES = 768


class Model(nn.Module):
    """``residual + dropout(gelu(x + bias))``, in evaluation mode."""

    def __init__(self, features: int, probability: float) -> None:
        super().__init__()
        self.bias = nn.Parameter(0.1 * torch.randn(features))
        self.dropout = nn.Dropout(probability)
        self.eval()

    def forward(self, x: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        """`x` and `residual`: (BATCH, SEQUENCE, FEATURES) float32; the result has the same shape."""
        return residual + self.dropout(nn.functional.gelu(x + self.bias))


def get_inputs() -> list[torch.Tensor]:
    """The block's activations and the residual stream."""
    return [torch.randn(BATCH, SEQUENCE, FEATURES), torch.randn(BATCH, SEQUENCE, FEATURES)]


def get_init_inputs() -> list[object]:
    """The number of features, and the dropout probability used in training."""
    return [FEATURES, 0.1]
