"""SiLU, x times its sigmoid, on feature maps.

The activation of EfficientNet and of the YOLO detectors from the fifth on.
"""

import torch
import torch.nn.functional as F

FAMILY = "pointwise"
BATCH, CHANNELS, SIDE = 32, 96, 80
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 3, "CHANNELS": 24, "SIDE": 60}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def forward(self, x):
        return F.silu(x)


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIDE, SIDE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
