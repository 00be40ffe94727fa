"""Residual block that the time step modulates.

In a diffusion model's U-Net: between two normed convolutions the embedding of the time scales and shifts each channel.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "convnet"
BATCH, CHANNELS, SIZE, TIME, GROUPS = 4, 320, 32, 1280, 32
DTYPE = "float32"
TWIN = {"CHANNELS": 32, "SIZE": 32, "TIME": 96, "GROUPS": 8}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(nn.Module):
    def __init__(self, channels, time, groups):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.norm1, self.norm2 = nn.GroupNorm(groups, channels, dtype=kind), nn.GroupNorm(groups, channels, dtype=kind)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, dtype=kind)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, dtype=kind)
        self.modulate = nn.Linear(time, 2 * channels, dtype=kind)
        for name, weight in self.named_parameters():
            if name.endswith("bias"):  # as after training: one near zero would hardly show
                nn.init.normal_(weight, std=0.5)

    def forward(self, x, time):
        scale, shift = self.modulate(F.silu(time))[:, :, None, None].chunk(2, dim=1)
        y = self.norm2(self.conv1(F.silu(self.norm1(x)))) * (1 + scale) + shift
        return x + self.conv2(F.silu(y))


def get_inputs():
    kind = getattr(torch, DTYPE)
    return [torch.randn(BATCH, CHANNELS, SIZE, SIZE, dtype=kind), torch.randn(BATCH, TIME, dtype=kind)]


def get_init_inputs():
    return [CHANNELS, TIME, GROUPS]
