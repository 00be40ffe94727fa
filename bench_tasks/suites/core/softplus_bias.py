"""Softplus after a bias for each channel.

How the selective state-space layers of Mamba make their step sizes positive.
"""

import torch
import torch.nn.functional as F

FAMILY = "pointwise"
BATCH, LENGTH, CHANNELS = 4, 4096, 1536
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 2, "LENGTH": 500, "CHANNELS": 384}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.linspace(-4.6, 0.0, channels, dtype=getattr(torch, DTYPE)))

    def forward(self, x):
        return F.softplus(x + self.bias)


def get_inputs():
    return [torch.randn(BATCH, LENGTH, CHANNELS, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [CHANNELS]
