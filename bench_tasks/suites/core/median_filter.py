"""Median of the 3 x 3 neighbourhood of each pixel.

Removes salt-and-pepper noise; a small sorting network for each pixel.
"""

import torch

FAMILY = "sorting"
IMAGES, HEIGHT, WIDTH = 4, 1080, 1280
DTYPE = "float32"
TWIN = {"IMAGES": 2, "HEIGHT": 270, "WIDTH": 320}


class Model(torch.nn.Module):
    def forward(self, image):
        windows = image.unfold(1, 3, 1).unfold(2, 3, 1)
        return windows.flatten(-2).median(dim=-1).values


def get_inputs():
    return [torch.rand(IMAGES, HEIGHT, WIDTH, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
