"""Convolution, batch norm of a trained model, ReLU.

The most frequent block of convolutional networks at inference; norm and activation fold into the convolution.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "convolution"
BATCH, CHANNELS, OUT, SIZE = 16, 64, 128, 56
DTYPE = "float32"
TWIN = {"BATCH": 2, "CHANNELS": 32, "OUT": 48, "SIZE": 42}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(nn.Module):
    def __init__(self, channels, out):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.weight = nn.Parameter(torch.randn(out, channels, 3, 3, dtype=kind) * (2 / (9 * channels)) ** 0.5)
        self.gamma = nn.Parameter(torch.rand(out, dtype=kind) + 0.5)
        self.beta = nn.Parameter(torch.randn(out, dtype=kind))
        self.register_buffer("mean", torch.randn(out, dtype=kind) * 0.5)
        self.register_buffer("variance", torch.rand(out, dtype=kind) + 0.5)

    def forward(self, x):
        y = F.conv2d(x, self.weight, padding=1)
        return torch.relu(F.batch_norm(y, self.mean, self.variance, self.gamma, self.beta, training=False))


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIZE, SIZE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [CHANNELS, OUT]
