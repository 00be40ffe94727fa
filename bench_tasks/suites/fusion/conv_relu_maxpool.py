"""The stem of a convolutional network: wide strided convolution, ReLU, max pooling.

As ResNet begins; the windows of the pooling overlap.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "convolution"
BATCH, OUT, SIZE = 32, 64, 224
DTYPE = "float32"
TWIN = {"BATCH": 4, "OUT": 32, "SIZE": 128}
VARIANTS = {"half": {"DTYPE": "bfloat16"}}


class Model(nn.Module):
    def __init__(self, out):
        super().__init__()
        self.conv = nn.Conv2d(3, out, 7, stride=2, padding=3, dtype=getattr(torch, DTYPE))

    def forward(self, image):
        return F.max_pool2d(torch.relu(self.conv(image)), 3, stride=2, padding=1)


def get_inputs():
    return [torch.randn(BATCH, 3, SIZE, SIZE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [OUT]
