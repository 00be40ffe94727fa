"""A fine map by a pointwise convolution, plus a coarse one upsampled.

One level of the feature pyramid of a detector.
"""

import torch
from torch import nn

FAMILY = "convolution"
BATCH, CHANNELS, OUT, HEIGHT, WIDTH = 4, 512, 256, 50, 68
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 2, "CHANNELS": 96, "OUT": 64, "HEIGHT": 14, "WIDTH": 18}
VARIANTS = {"half": {"DTYPE": "bfloat16"}, "backward": {"BACKWARD": True}}


def doubled(x):
    """Each element four times, as nearest-neighbour upsampling has it."""
    return x[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2).flatten(4, 5).flatten(2, 3)


class Model(nn.Module):
    def __init__(self, channels, out):
        super().__init__()
        self.lateral = nn.Conv2d(channels, out, 1, dtype=getattr(torch, DTYPE))
        nn.init.normal_(self.lateral.bias)  # as after training: one near zero would hardly show

    def forward(self, fine, coarse):
        return self.lateral(fine) + doubled(coarse)


def get_inputs():
    kind = getattr(torch, DTYPE)
    fine = torch.randn(BATCH, CHANNELS, 2 * HEIGHT, 2 * WIDTH, dtype=kind)
    return [fine, torch.randn(BATCH, OUT, HEIGHT, WIDTH, dtype=kind)]


def get_init_inputs():
    return [CHANNELS, OUT]
