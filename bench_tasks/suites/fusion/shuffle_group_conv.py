"""Grouped pointwise convolution, ReLU, channel shuffle, depthwise convolution.

The inside of a ShuffleNet unit; the shuffle is nothing but another index.
"""

import torch
from torch import nn

FAMILY = "convolution"
BATCH, CHANNELS, GROUPS, SIZE = 32, 240, 3, 28
DTYPE = "float32"
TWIN = {"BATCH": 4, "CHANNELS": 60}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(nn.Module):
    def __init__(self, channels, groups):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.shuffle = nn.ChannelShuffle(groups)
        self.pointwise = nn.Conv2d(channels, channels, 1, groups=groups, dtype=kind)
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, dtype=kind)

    def forward(self, x):
        return self.depthwise(self.shuffle(torch.relu(self.pointwise(x))))


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIZE, SIZE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [CHANNELS, GROUPS]
