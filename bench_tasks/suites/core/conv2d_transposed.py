"""Transposed convolution that doubles each side.

The upsampling layers of DCGAN, pix2pix and U-Net decoders.
"""

import torch

FAMILY = "convolution"
BATCH, CHANNELS, OUTPUTS, SIDE = 32, 128, 64, 32
DTYPE = "float32"
TWIN = {"BATCH": 4, "CHANNELS": 40, "OUTPUTS": 24, "SIDE": 32}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(torch.nn.Module):
    def __init__(self, channels, outputs):
        super().__init__()
        dtype = getattr(torch, DTYPE)
        self.conv = torch.nn.ConvTranspose2d(channels, outputs, 4, stride=2, padding=1, dtype=dtype)

    def forward(self, x):
        return self.conv(x)


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIDE, SIDE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [CHANNELS, OUTPUTS]
