"""Group norm and SiLU.

Before every convolution of a diffusion model's U-Net.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "norm"
BATCH, CHANNELS, SIZE, GROUPS = 8, 320, 64, 32
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 2, "CHANNELS": 96, "SIZE": 36}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}


class Model(nn.Module):
    def __init__(self, groups, channels):
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, dtype=getattr(torch, DTYPE))

    def forward(self, x):
        return F.silu(self.norm(x))


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIZE, SIZE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [GROUPS, CHANNELS]
