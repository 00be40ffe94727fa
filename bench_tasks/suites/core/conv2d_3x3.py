"""Convolution with a 3 x 3 window.

What a ResNet or VGG spends most of its time on.
"""

import torch

FAMILY = "convolution"
BATCH, CHANNELS, OUTPUTS, SIDE = 32, 128, 160, 48
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 4, "CHANNELS": 32, "OUTPUTS": 40, "SIDE": 44}
VARIANTS = {
    "half": {"DTYPE": "float16"},
    "backward": {"BACKWARD": True, "TWIN": {"BATCH": 4, "CHANNELS": 16, "OUTPUTS": 24, "SIDE": 44}},
}


class Model(torch.nn.Module):
    def __init__(self, channels, outputs):
        super().__init__()
        self.conv = torch.nn.Conv2d(channels, outputs, 3, padding=1, bias=False, dtype=getattr(torch, DTYPE))

    def forward(self, x):
        return self.conv(x)


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIDE, SIDE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [CHANNELS, OUTPUTS]
