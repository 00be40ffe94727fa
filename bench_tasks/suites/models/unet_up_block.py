"""Up block of a U-Net: upsampling with a convolution, the kept map beside it, a normed convolution over both.

The way back to a finer resolution; neither the upsampled nor the joined map need be written.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "convnet"
BATCH, COARSE, KEPT, OUT, SIZE, GROUPS = 4, 256, 128, 128, 24, 32
DTYPE = "float32"
TWIN = {"BATCH": 4, "COARSE": 32, "KEPT": 20, "OUT": 20, "SIZE": 18, "GROUPS": 4}
VARIANTS = {"half": {"DTYPE": "float16"}}


def doubled(x):
    """Each element four times, as nearest-neighbour upsampling has it."""
    return x[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2).flatten(4, 5).flatten(2, 3)


class Model(nn.Module):
    def __init__(self, coarse, kept, out, groups):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.up = nn.Conv2d(coarse, coarse, 3, padding=1, dtype=kind)
        self.norm = nn.GroupNorm(groups, coarse + kept, dtype=kind)
        self.conv = nn.Conv2d(coarse + kept, out, 3, padding=1, dtype=kind)
        for name, weight in self.named_parameters():
            if name.endswith("bias"):  # as after training: one near zero would hardly show
                nn.init.normal_(weight, std=0.5)

    def forward(self, coarse, kept):
        up = self.up(doubled(coarse))
        return self.conv(F.silu(self.norm(torch.cat([up, kept], dim=1))))


def get_inputs():
    kind = getattr(torch, DTYPE)
    coarse = torch.randn(BATCH, COARSE, SIZE, SIZE, dtype=kind)
    return [coarse, torch.randn(BATCH, KEPT, 2 * SIZE, 2 * SIZE, dtype=kind)]


def get_init_inputs():
    return [COARSE, KEPT, OUT, GROUPS]
