"""Causal depthwise convolution along time, bias, SiLU.

In front of the scan of Mamba and of many linear attentions: four taps, so that memory sets the pace.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "convolution"
BATCH, CHANNELS, LENGTH, TAPS = 4, 2048, 2040, 4
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 2, "CHANNELS": 160, "LENGTH": 500}
VARIANTS = {"half": {"DTYPE": "bfloat16"}, "backward": {"BACKWARD": True}}


class Model(nn.Module):
    def __init__(self, channels, taps):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.weight = nn.Parameter(torch.randn(channels, 1, taps, dtype=kind) * taps**-0.5)
        self.bias = nn.Parameter(torch.randn(channels, dtype=kind))

    def forward(self, x):
        padded = F.pad(x, (self.weight.shape[-1] - 1, 0))
        return F.silu(F.conv1d(padded, self.weight, self.bias, groups=x.shape[1]))


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, LENGTH, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [CHANNELS, TAPS]
