"""Softmax over the rows of a 4096 x 1024 matrix, as attention scores need it.

Eager PyTorch already runs this as one kernel, so there is little to win: the point is to see a kernel come close to
the memory bound (one read and one write of every element).
"""

import torch
from torch import nn

ROWS = 4096
COLUMNS = 1024


class Model(nn.Module):
    """Softmax along the last dimension."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x`: (ROWS, COLUMNS) float32; the result has the same shape, each row sums to one."""
        return torch.softmax(x, dim=-1)


def get_inputs() -> list[torch.Tensor]:
    """One matrix of standard normal scores."""
    return [torch.randn(ROWS, COLUMNS)]


def get_init_inputs() -> list[object]:
    """`Model` takes no arguments."""
    return []
