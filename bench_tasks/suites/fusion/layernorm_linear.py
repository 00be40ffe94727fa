"""Layer norm and the linear layer after it.

The entry of a pre-norm attention: one projection to queries, keys and values.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "norm"
ROWS, WIDTH, OUT = 4096, 1024, 3072
DTYPE = "float32"
BACKWARD = False
TWIN = {"ROWS": 128, "WIDTH": 256, "OUT": 768}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}


class Model(nn.Module):
    def __init__(self, width, out):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.norm = nn.LayerNorm(width, dtype=kind)
        self.weight = nn.Parameter(torch.randn(out, width, dtype=kind) * width**-0.5)
        self.bias = nn.Parameter(torch.randn(out, dtype=kind))

    def forward(self, x):
        return F.linear(self.norm(x), self.weight, self.bias)


def get_inputs():
    return [torch.randn(ROWS, WIDTH, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [WIDTH, OUT]
