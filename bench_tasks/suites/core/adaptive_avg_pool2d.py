"""Mean of windows cut so that the output is 7 x 7, whatever the side.

How VGG and region heads take images of any size: neighbouring windows overlap where the side is no multiple.
"""

import torch
import torch.nn.functional as F

FAMILY = "pooling"
BATCH, CHANNELS, SIDE = 32, 512, 38
DTYPE = "float32"
TWIN = {"BATCH": 3, "CHANNELS": 96, "SIDE": 38}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(torch.nn.Module):
    def forward(self, x):
        return F.adaptive_avg_pool2d(x, (7, 7))


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIDE, SIDE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
