"""Transposed convolution that doubles the size, batch norm of a trained model, ReLU.

The step of a generator or decoder from one resolution to the next.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "convolution"
BATCH, CHANNELS, OUT, SIZE = 16, 256, 128, 32
DTYPE = "float32"
TWIN = {"BATCH": 4, "CHANNELS": 48, "OUT": 32, "SIZE": 20}
VARIANTS = {"half": {"DTYPE": "bfloat16"}}


class Model(nn.Module):
    def __init__(self, channels, out):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.weight = nn.Parameter(torch.randn(channels, out, 4, 4, dtype=kind) * (2 / (4 * channels)) ** 0.5)
        self.gamma = nn.Parameter(torch.rand(out, dtype=kind) + 0.5)
        self.beta = nn.Parameter(torch.randn(out, dtype=kind))
        self.register_buffer("mean", torch.randn(out, dtype=kind) * 0.5)
        self.register_buffer("variance", torch.rand(out, dtype=kind) + 0.5)

    def forward(self, x):
        y = F.conv_transpose2d(x, self.weight, stride=2, padding=1)
        return torch.relu(F.batch_norm(y, self.mean, self.variance, self.gamma, self.beta, training=False))


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIZE, SIZE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [CHANNELS, OUT]
