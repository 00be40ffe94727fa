"""Hard swish on feature maps.

The activation of MobileNetV3: x times a clamped ramp instead of a sigmoid.
"""

import torch
import torch.nn.functional as F

FAMILY = "pointwise"
BATCH, CHANNELS, SIDE = 64, 112, 56
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 4, "CHANNELS": 28, "SIDE": 56}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def forward(self, x):
        return F.hardswish(x)


def get_inputs():
    return [3 * torch.randn(BATCH, CHANNELS, SIDE, SIDE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
