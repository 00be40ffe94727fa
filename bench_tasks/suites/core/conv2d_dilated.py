"""Convolution with a 3 x 3 window whose taps lie six pixels apart.

A branch of DeepLab's atrous pyramid.
"""

import torch

FAMILY = "convolution"
BATCH, CHANNELS, OUTPUTS, SIDE = 8, 256, 128, 64
DTYPE = "float32"
TWIN = {"BATCH": 3, "CHANNELS": 40, "OUTPUTS": 32, "SIDE": 48}


class Model(torch.nn.Module):
    def __init__(self, channels, outputs):
        super().__init__()
        dtype = getattr(torch, DTYPE)
        self.conv = torch.nn.Conv2d(channels, outputs, 3, padding=6, dilation=6, bias=False, dtype=dtype)

    def forward(self, x):
        return self.conv(x)


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIDE, SIDE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [CHANNELS, OUTPUTS]
