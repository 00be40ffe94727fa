"""Convolution over time and space with a 3 x 3 x 3 window.

Video networks (C3D, I3D) and segmentation of medical volumes (3D U-Net).
"""

import torch

FAMILY = "convolution"
BATCH, CHANNELS, OUTPUTS, FRAMES, SIDE = 4, 32, 64, 16, 56
DTYPE = "float32"
TWIN = {"BATCH": 2, "CHANNELS": 12, "OUTPUTS": 16, "FRAMES": 8, "SIDE": 28}


class Model(torch.nn.Module):
    def __init__(self, channels, outputs):
        super().__init__()
        self.conv = torch.nn.Conv3d(channels, outputs, 3, padding=1, dtype=getattr(torch, DTYPE))

    def forward(self, clip):
        return self.conv(clip)


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, FRAMES, SIDE, SIDE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [CHANNELS, OUTPUTS]
