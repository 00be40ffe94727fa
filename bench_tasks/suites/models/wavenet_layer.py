"""Gated dilated convolution of sound, to the next layer and to the output.

A layer of WaveNet: tanh of one half times sigmoid of the other, then two pointwise convolutions, one with a residual.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "convnet"
BATCH, CHANNELS, LENGTH, DILATION = 4, 128, 16000, 64
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 2, "CHANNELS": 32, "LENGTH": 2000}
VARIANTS = {"half": {"DTYPE": "bfloat16"}, "backward": {"BACKWARD": True}}


class Model(nn.Module):
    def __init__(self, channels, dilation):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.dilation = dilation
        self.conv = nn.Conv1d(channels, 2 * channels, 2, dilation=dilation, dtype=kind)
        self.residual = nn.Conv1d(channels, channels, 1, dtype=kind)
        self.skip = nn.Conv1d(channels, channels, 1, dtype=kind)

    def forward(self, x):
        new, gate = self.conv(F.pad(x, (self.dilation, 0))).chunk(2, dim=1)
        y = torch.tanh(new) * torch.sigmoid(gate)
        return x + self.residual(y), self.skip(y)


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, LENGTH, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [CHANNELS, DILATION]
