"""Patch merging: two by two neighbours joined, normalised, projected.

Between the stages of a Swin transformer; joining is nothing but another index.
"""

import torch
from torch import nn

FAMILY = "norm"
BATCH, SIZE, WIDTH = 16, 56, 128
DTYPE = "float32"
TWIN = {"BATCH": 4, "SIZE": 28, "WIDTH": 64}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(nn.Module):
    def __init__(self, width):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.norm = nn.LayerNorm(4 * width, dtype=kind)
        self.reduce = nn.Linear(4 * width, 2 * width, bias=False, dtype=kind)

    def forward(self, x):
        batch, height, width, channels = x.shape
        pairs = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
        return self.reduce(self.norm(pairs.permute(0, 1, 3, 4, 2, 5).flatten(3)))


def get_inputs():
    return [torch.randn(BATCH, SIZE, SIZE, WIDTH, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [WIDTH]
