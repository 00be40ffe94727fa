"""Largest value over the time axis.

How convolutional text and point-cloud networks (PointNet) make one vector of many.
"""

import torch

FAMILY = "reduction"
BATCH, POINTS, CHANNELS = 32, 1024, 1024
DTYPE = "float32"
TWIN = {"BATCH": 6, "POINTS": 200, "CHANNELS": 480}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(torch.nn.Module):
    def forward(self, x):
        return x.amax(dim=1)


def get_inputs():
    return [torch.randn(BATCH, POINTS, CHANNELS, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
