"""Largest value in each window and where in its map it was; of several equal ones, the first.

SegNet keeps the places to unpool by them.
"""

import torch
import torch.nn.functional as F

FAMILY = "pooling"
BATCH, CHANNELS, HEIGHT, WIDTH = 8, 64, 180, 240
DTYPE = "float32"
TWIN = {"BATCH": 2, "CHANNELS": 24, "HEIGHT": 90, "WIDTH": 120}


class Model(torch.nn.Module):
    def forward(self, x):
        return F.max_pool2d(x, 2, return_indices=True)


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, HEIGHT, WIDTH, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
