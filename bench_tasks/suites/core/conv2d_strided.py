"""Convolution of an image with a 7 x 7 window and a stride of two.

The first layer of ResNet: three channels in, so little work for each value read.
"""

import torch

FAMILY = "convolution"
BATCH, OUTPUTS, SIDE = 32, 64, 224
DTYPE = "float32"
TWIN = {"BATCH": 2, "OUTPUTS": 40, "SIDE": 140}


class Model(torch.nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, outputs, 7, stride=2, padding=3, bias=False, dtype=getattr(torch, DTYPE))

    def forward(self, image):
        return self.conv(image)


def get_inputs():
    return [torch.randn(BATCH, 3, SIDE, SIDE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [OUTPUTS]
