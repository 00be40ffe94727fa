"""Depthwise convolution with a 7 x 7 window.

The spatial half of a ConvNeXt block: each channel by itself.
"""

import torch

FAMILY = "convolution"
BATCH, CHANNELS, SIDE = 32, 192, 56
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 3, "CHANNELS": 48, "SIDE": 42}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        dtype = getattr(torch, DTYPE)
        self.conv = torch.nn.Conv2d(channels, channels, 7, padding=3, groups=channels, dtype=dtype)

    def forward(self, x):
        return self.conv(x)


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIDE, SIDE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [CHANNELS]
