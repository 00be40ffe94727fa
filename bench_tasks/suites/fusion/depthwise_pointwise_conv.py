"""Depthwise and pointwise convolution with ReLU between and after.

The separable convolution of MobileNet; what the depthwise one writes need never leave the chip.
"""

import torch
from torch import nn

FAMILY = "convolution"
BATCH, CHANNELS, OUT, SIZE = 16, 128, 256, 56
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 2, "CHANNELS": 32, "OUT": 64, "SIZE": 44}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}


class Model(nn.Module):
    def __init__(self, channels, out):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, dtype=kind)
        self.pointwise = nn.Conv2d(channels, out, 1, dtype=kind)

    def forward(self, x):
        return torch.relu(self.pointwise(torch.relu(self.depthwise(x))))


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIZE, SIZE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [CHANNELS, OUT]
