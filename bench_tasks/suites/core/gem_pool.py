"""Generalised mean over each feature map, with a learned exponent.

Image retrieval (arXiv:1711.02512): between the mean and the maximum.
"""

import torch

FAMILY = "pooling"
BATCH, CHANNELS, SIDE = 32, 1024, 24
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 4, "CHANNELS": 200, "SIDE": 20}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def __init__(self, exponent):
        super().__init__()
        self.exponent = torch.nn.Parameter(torch.tensor([exponent], dtype=getattr(torch, DTYPE)))

    def forward(self, x):
        return x.clamp(min=1e-3).pow(self.exponent).mean(dim=(2, 3)).pow(self.exponent.reciprocal())


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIDE, SIDE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [3.0]
