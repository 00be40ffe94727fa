"""Instance norm and leaky ReLU.

Style transfer and medical segmentation: each plane of each image by its own mean and variance.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "norm"
BATCH, CHANNELS, HEIGHT, WIDTH = 4, 64, 256, 192
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 2, "CHANNELS": 24, "HEIGHT": 64, "WIDTH": 48}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}


class Model(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels, affine=True, dtype=getattr(torch, DTYPE))

    def forward(self, x):
        return F.leaky_relu(self.norm(x), 0.2)


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, HEIGHT, WIDTH, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [CHANNELS]
