"""Mean of windows that at the border count only what lies inside.

The pooling branch of Inception: windows of 3 x 3, one pixel apart.
"""

import torch
import torch.nn.functional as F

FAMILY = "pooling"
BATCH, CHANNELS, SIDE = 32, 288, 35
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 4, "CHANNELS": 72, "SIDE": 35}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def forward(self, x):
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIDE, SIDE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
