"""Linear interpolation of two images by a clamped mask.

Compositing and image inpainting: one mask for the three channels, cut to [0, 1].
"""

import torch

FAMILY = "pointwise"
BATCH, CHANNELS, HEIGHT, WIDTH = 4, 3, 1080, 1920
DTYPE = "float32"
TWIN = {"BATCH": 2, "HEIGHT": 180, "WIDTH": 320}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(torch.nn.Module):
    def forward(self, below, above, alpha):
        return torch.lerp(below, above, alpha.clamp(0.0, 1.0))


def get_inputs():
    dtype = getattr(torch, DTYPE)
    below = torch.rand(BATCH, CHANNELS, HEIGHT, WIDTH, dtype=dtype)
    above = torch.rand(BATCH, CHANNELS, HEIGHT, WIDTH, dtype=dtype)
    alpha = torch.rand(BATCH, 1, HEIGHT, WIDTH, dtype=dtype) * 1.5 - 0.25
    return [below, above, alpha]


def get_init_inputs():
    return []
