"""Largest value in overlapping windows.

After the first convolution of ResNet: windows of 3 x 3, two pixels apart.
"""

import torch
import torch.nn.functional as F

FAMILY = "pooling"
BATCH, CHANNELS, SIDE = 32, 64, 112
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 4, "CHANNELS": 32, "SIDE": 56}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def forward(self, x):
        return F.max_pool2d(x, 3, stride=2, padding=1)


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIDE, SIDE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
