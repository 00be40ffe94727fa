"""Token shift: mixes of each token with the one before, three at once.

In front of the projections of RWKV; each channel has a share of its own for each of the three.
"""

import torch
from torch import nn

FAMILY = "pointwise"
BATCH, LENGTH, WIDTH = 4, 2048, 1024
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 2, "LENGTH": 100, "WIDTH": 384}
VARIANTS = {"half": {"DTYPE": "bfloat16"}, "backward": {"BACKWARD": True}}


class Model(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.shares = nn.Parameter(torch.rand(3, width, dtype=getattr(torch, DTYPE)))

    def forward(self, x, last):
        before = torch.cat([last[:, None], x[:, :-1]], dim=1)
        return [before + share * (x - before) for share in self.shares]


def get_inputs():
    kind = getattr(torch, DTYPE)
    return [torch.randn(BATCH, LENGTH, WIDTH, dtype=kind), torch.randn(BATCH, WIDTH, dtype=kind)]


def get_init_inputs():
    return [WIDTH]
