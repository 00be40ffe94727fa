"""Variance and mean of each channel over batch and space.

The statistics that batch normalisation takes while training.
"""

import torch

FAMILY = "reduction"
BATCH, CHANNELS, SIDE = 32, 256, 56
DTYPE = "float32"
TWIN = {"BATCH": 6, "CHANNELS": 80, "SIDE": 28}


class Model(torch.nn.Module):
    def forward(self, x):
        variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
        return variance, mean


def get_inputs():
    dtype = getattr(torch, DTYPE)
    scale, shift = torch.rand(2, CHANNELS, 1, 1, dtype=dtype)
    return [torch.randn(BATCH, CHANNELS, SIDE, SIDE, dtype=dtype) * (scale + 0.5) + shift]


def get_init_inputs():
    return []
