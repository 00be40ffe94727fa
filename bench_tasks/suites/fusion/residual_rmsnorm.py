"""Residual addition and RMS norm, both results kept.

Between any two sublayers of a Llama-like model: the sum goes on as the residual stream, its norm into the next layer.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "norm"
ROWS, WIDTH = 4096, 4096
DTYPE = "float32"
BACKWARD = False
TWIN = {"ROWS": 224, "WIDTH": 640}
VARIANTS = {"half": {"DTYPE": "bfloat16"}, "backward": {"BACKWARD": True}}


class Model(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width, dtype=getattr(torch, DTYPE)))

    def forward(self, x, residual):
        stream = x + residual
        return stream, F.rms_norm(stream, stream.shape[-1:], self.weight, eps=1e-6)


def get_inputs():
    kind = getattr(torch, DTYPE)
    return [torch.randn(ROWS, WIDTH, dtype=kind), torch.randn(ROWS, WIDTH, dtype=kind)]


def get_init_inputs():
    return [WIDTH]
