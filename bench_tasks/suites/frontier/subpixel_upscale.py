"""Sub-pixel convolution: a 3x3 convolution, its channels rearranged into a finer image, plus the enlarged input image.

The last layer of super-resolution networks since ESPCN (arXiv:1609.05158).
"""

import torch

FAMILY = "convolution"
BATCH, CHANNELS, HEIGHT, WIDTH, FACTOR = 4, 32, 270, 480, 4
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 2, "HEIGHT": 42, "WIDTH": 54}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def __init__(self, channels, factor, dtype):
        super().__init__()
        self.factor = factor
        self.conv = torch.nn.Conv2d(channels, 3 * factor**2, 3, padding=1, dtype=getattr(torch, dtype))

    def forward(self, features, image):
        """(BATCH, CHANNELS, HEIGHT, WIDTH), (BATCH, 3, HEIGHT, WIDTH) -> (BATCH, 3, HEIGHT * FACTOR, WIDTH * FACTOR)"""
        enlarged = image.repeat_interleave(self.factor, 2).repeat_interleave(self.factor, 3)
        return torch.nn.functional.pixel_shuffle(self.conv(features), self.factor) + enlarged


def get_inputs():
    dtype = getattr(torch, DTYPE)
    features, image = torch.randn(BATCH, CHANNELS, HEIGHT, WIDTH), torch.randn(BATCH, 3, HEIGHT, WIDTH)
    return [features.to(dtype), image.to(dtype)]


def get_init_inputs():
    return [CHANNELS, FACTOR, DTYPE]
