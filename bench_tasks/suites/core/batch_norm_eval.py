"""Batch normalisation with the statistics of training.

What a convolutional network does after each convolution when it is served without folding.
"""

import torch

FAMILY = "norm"
BATCH, CHANNELS, SIDE = 32, 128, 64
DTYPE = "float32"
TWIN = {"BATCH": 4, "CHANNELS": 60, "SIDE": 32}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(channels, dtype=getattr(torch, DTYPE))
        torch.nn.init.uniform_(self.norm.running_var, 0.5, 2.0)
        torch.nn.init.normal_(self.norm.running_mean)
        self.eval()

    def forward(self, x):
        return self.norm(x)


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIDE, SIDE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [CHANNELS]
