"""Squeeze and excite: each channel times a gate that comes from the means of all channels.

In EfficientNet and its like after every depthwise convolution.
"""

import torch
from torch import nn

FAMILY = "reduction"
BATCH, CHANNELS, HIDDEN, SIZE = 32, 256, 64, 56
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 3, "CHANNELS": 64, "HIDDEN": 16, "SIZE": 36}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}


class Model(nn.Module):
    def __init__(self, channels, hidden):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.squeeze = nn.Parameter(torch.randn(channels, hidden, dtype=kind) * (2 / channels) ** 0.5)
        self.squeeze_bias = nn.Parameter(torch.randn(hidden, dtype=kind))
        self.excite = nn.Parameter(torch.randn(hidden, channels, dtype=kind) * (2 / hidden) ** 0.5)
        self.excite_bias = nn.Parameter(torch.randn(channels, dtype=kind))

    def forward(self, x):
        hidden = torch.relu(x.mean(dim=(2, 3)) @ self.squeeze + self.squeeze_bias)
        gate = torch.sigmoid(hidden @ self.excite + self.excite_bias)
        return x * gate[:, :, None, None]


def get_inputs():
    kind = getattr(torch, DTYPE)
    planes = torch.randn(BATCH, CHANNELS, 1, 1, dtype=kind)
    return [torch.randn(BATCH, CHANNELS, SIZE, SIZE, dtype=kind) + planes]


def get_init_inputs():
    return [CHANNELS, HIDDEN]
