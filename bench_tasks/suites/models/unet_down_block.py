"""Down block of a U-Net: residual block of two normed convolutions, then a strided one.

From one resolution of a diffusion model to the next; the result before the last convolution is kept for the way up.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "convnet"
BATCH, CHANNELS, OUT, SIZE, GROUPS = 8, 128, 256, 32, 32
DTYPE = "float32"
TWIN = {"BATCH": 4, "CHANNELS": 20, "OUT": 40, "SIZE": 30, "GROUPS": 5}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(nn.Module):
    def __init__(self, channels, out, groups):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.norm1, self.norm2 = nn.GroupNorm(groups, channels, dtype=kind), nn.GroupNorm(groups, out, dtype=kind)
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1, dtype=kind)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, dtype=kind)
        self.skip = nn.Conv2d(channels, out, 1, dtype=kind)
        self.down = nn.Conv2d(out, out, 3, stride=2, padding=1, dtype=kind)
        for name, weight in self.named_parameters():
            if name.endswith("bias"):  # as after training: one near zero would hardly show
                nn.init.normal_(weight, std=0.5)

    def forward(self, x):
        y = self.conv1(F.silu(self.norm1(x)))
        y = self.conv2(F.silu(self.norm2(y)))
        kept = self.skip(x) + y
        return kept, self.down(kept)


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIZE, SIZE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [CHANNELS, OUT, GROUPS]
