"""Euclidean length of each window.

Pooling by energy in scattering networks and models of early vision: windows of 3 x 3, two pixels apart.
"""

import torch
import torch.nn.functional as F

FAMILY = "pooling"
BATCH, CHANNELS, SIDE = 16, 64, 127
DTYPE = "float32"
TWIN = {"BATCH": 3, "CHANNELS": 32, "SIDE": 63}


class Model(torch.nn.Module):
    def forward(self, x):
        return F.avg_pool2d(x * x, 3, stride=2, divisor_override=1).sqrt()


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIDE, SIDE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
