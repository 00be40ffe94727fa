"""Convolution with a 1 x 1 window: a matrix product for each pixel.

The bottlenecks of ResNet-50 and the pointwise half of separable convolutions.
"""

import torch

FAMILY = "convolution"
BATCH, CHANNELS, OUTPUTS, SIDE = 32, 256, 64, 56
DTYPE = "float32"
TWIN = {"BATCH": 4, "CHANNELS": 64, "OUTPUTS": 48, "SIDE": 42}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(torch.nn.Module):
    def __init__(self, channels, outputs):
        super().__init__()
        self.conv = torch.nn.Conv2d(channels, outputs, 1, dtype=getattr(torch, DTYPE))

    def forward(self, x):
        return self.conv(x)


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIDE, SIDE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [CHANNELS, OUTPUTS]
