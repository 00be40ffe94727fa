"""ResNet's bottleneck, its batch norms a scale and a shift.

Down to a quarter of the channels, a convolution there, up again, and the residual: as served, with the statistics of training folded in.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "convnet"
BATCH, CHANNELS, INNER, SIZE = 16, 256, 64, 56
DTYPE = "float32"
TWIN = {"BATCH": 3, "CHANNELS": 64, "INNER": 16, "SIZE": 28}
VARIANTS = {"half": {"DTYPE": "float16"}}


class ConvNorm(nn.Module):
    def __init__(self, channels, out, size):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.weight = nn.Parameter(torch.randn(out, channels, size, size, dtype=kind) * (2 / channels) ** 0.5 / size)
        self.gamma = nn.Parameter(torch.rand(out, dtype=kind) + 0.5)
        self.beta = nn.Parameter(torch.randn(out, dtype=kind) * 0.5)

    def forward(self, x):
        y = F.conv2d(x, self.weight, padding=self.weight.shape[-1] // 2)
        return y * self.gamma[:, None, None] + self.beta[:, None, None]


class Model(nn.Module):
    def __init__(self, channels, inner):
        super().__init__()
        self.down = ConvNorm(channels, inner, 1)
        self.middle = ConvNorm(inner, inner, 3)
        self.up = ConvNorm(inner, channels, 1)

    def forward(self, x):
        y = torch.relu(self.middle(torch.relu(self.down(x))))
        return torch.relu(self.up(y) + x)


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIZE, SIZE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [CHANNELS, INNER]
