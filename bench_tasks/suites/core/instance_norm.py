"""Instance normalisation of feature maps, with scale and shift.

Style transfer and the generators of CycleGAN: each channel of each image by itself.
"""

import torch

FAMILY = "norm"
BATCH, CHANNELS, SIDE = 8, 64, 200
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 3, "CHANNELS": 24, "SIDE": 72}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = torch.nn.InstanceNorm2d(channels, affine=True, dtype=getattr(torch, DTYPE))

    def forward(self, x):
        return self.norm(x)


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIDE, SIDE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [CHANNELS]
