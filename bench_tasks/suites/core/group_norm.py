"""Group normalisation of feature maps.

Every residual block of the U-Nets of diffusion models: 32 groups of 10 channels here.
"""

import torch

FAMILY = "norm"
BATCH, GROUPS, CHANNELS, SIDE = 16, 32, 320, 64
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 2, "GROUPS": 8, "CHANNELS": 80, "SIDE": 48}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def __init__(self, groups, channels):
        super().__init__()
        self.norm = torch.nn.GroupNorm(groups, channels, dtype=getattr(torch, DTYPE))

    def forward(self, x):
        return self.norm(x)


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIDE, SIDE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [GROUPS, CHANNELS]
