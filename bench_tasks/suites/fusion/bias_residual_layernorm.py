"""Bias, residual and layer norm.

The end of each sublayer of a post-norm encoder such as BERT, whose matrix product leaves its bias to the next kernel.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "norm"
ROWS, WIDTH = 16384, 1024
DTYPE = "float32"
BACKWARD = False
TWIN = {"ROWS": 512, "WIDTH": 320}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}


class Model(nn.Module):
    def __init__(self, width):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.bias = nn.Parameter(torch.randn(width, dtype=kind))
        self.gamma = nn.Parameter(torch.ones(width, dtype=kind))
        self.beta = nn.Parameter(torch.zeros(width, dtype=kind))

    def forward(self, x, residual):
        return F.layer_norm(x + self.bias + residual, x.shape[-1:], self.gamma, self.beta, eps=1e-5)


def get_inputs():
    kind = getattr(torch, DTYPE)
    return [torch.randn(ROWS, WIDTH, dtype=kind), torch.randn(ROWS, WIDTH, dtype=kind)]


def get_init_inputs():
    return [WIDTH]
