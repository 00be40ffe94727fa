"""Lays the windows around each pixel out as columns.

The first half of convolution by matrix product, and of local attention: windows of 3 x 3 with a border of zeros.
"""

import torch
import torch.nn.functional as F

FAMILY = "indexing"
BATCH, CHANNELS, SIDE = 16, 32, 80
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 2, "CHANNELS": 16, "SIDE": 40}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def forward(self, x):
        return F.unfold(x, 3, padding=1)


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIDE, SIDE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
