"""Shifts a map cyclically and cuts it into windows.

Before the shifted attention of a Swin transformer (arXiv:2103.14030): pure data movement.
"""

import torch

FAMILY = "indexing"
BATCH, SIDE, WINDOW, CHANNELS = 32, 56, 7, 192
DTYPE = "float32"
TWIN = {"BATCH": 4, "SIDE": 28, "CHANNELS": 96}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(torch.nn.Module):
    def __init__(self, window):
        super().__init__()
        self.window = window

    def forward(self, x):
        batch, side, _, channels = x.shape
        count, shift = side // self.window, self.window // 2
        x = torch.roll(x, shifts=(-shift, -shift), dims=(1, 2))
        x = x.view(batch, count, self.window, count, self.window, channels)
        return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, self.window * self.window, channels)


def get_inputs():
    return [torch.randn(BATCH, SIDE, SIDE, CHANNELS, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [WINDOW]
