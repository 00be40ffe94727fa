"""Attention of 16 heads over 512 tokens, written out as in the paper (Vaswani et al. 2017).

Eager PyTorch stores the scores of all pairs of tokens and reads them back for the scale, the softmax and the second product. One kernel
with online softmax never does: it keeps a running maximum and sum for each query.
"""

import math

import torch
from torch import nn

HEADS = 16
TOKENS = 512
WIDTH = 64


class Model(nn.Module):
    """``softmax(q @ k.T / sqrt(WIDTH)) @ v`` for each head."""

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """`q`, `k`, `v`: (1, HEADS, TOKENS, WIDTH) float32; the result has the same shape."""
        scores = q @ k.transpose(-2, -1) / math.sqrt(WIDTH)
        return torch.softmax(scores, dim=-1) @ v


def get_inputs() -> list[torch.Tensor]:
    """Queries, keys and values of standard normal elements."""
    return [torch.randn(1, HEADS, TOKENS, WIDTH) for _ in range(3)]


def get_init_inputs() -> list[object]:
    """`Model` takes no arguments."""
    return []
