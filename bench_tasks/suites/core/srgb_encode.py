"""Linear light to sRGB: a power function with a linear part near zero.

The last step of a renderer and of image models that work in linear light (IEC 61966-2-1).
"""

import torch

FAMILY = "pointwise"
IMAGES, HEIGHT, WIDTH = 6, 1080, 1920
DTYPE = "float32"
TWIN = {"IMAGES": 2, "HEIGHT": 216, "WIDTH": 384}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(torch.nn.Module):
    def forward(self, linear):
        curve = 1.055 * linear.clamp(min=0.0031308).pow(1 / 2.4) - 0.055
        return torch.where(linear <= 0.0031308, 12.92 * linear, curve)


def get_inputs():
    return [torch.rand(IMAGES, 3, HEIGHT, WIDTH, dtype=getattr(torch, DTYPE)) ** 2]


def get_init_inputs():
    return []
