"""Cross network: three times a product with the weights, times the first input, plus the last.

Deep & Cross Network v2, a ranker's explicit feature crosses.
"""

import torch
from torch import nn

FAMILY = "recommender"
BATCH, WIDTH, LAYERS = 4096, 1024, 3
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 168, "WIDTH": 256}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(nn.Module):
    def __init__(self, width, layers):
        super().__init__()
        self.weights = nn.Parameter(torch.randn(layers, width, width) * width**-0.5)
        self.biases = nn.Parameter(torch.randn(layers, width))

    def forward(self, first):
        x = first
        for weight, bias in zip(self.weights, self.biases, strict=True):
            x = first * (x @ weight + bias) + x
        return x


def get_inputs():
    return [torch.randn(BATCH, WIDTH)]


def get_init_inputs():
    return [WIDTH, LAYERS]
