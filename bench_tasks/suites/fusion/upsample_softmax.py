"""Class scores of a segmentation, upsampled bilinearly, then softmax over the classes of each pixel.

The end of a segmentation network: the coarse scores are a sixteenth of what is written.
"""

import torch
import torch.nn.functional as F

FAMILY = "image"
BATCH, CLASSES, HEIGHT, WIDTH = 4, 19, 128, 256
DTYPE = "float32"
TWIN = {"BATCH": 2, "HEIGHT": 20, "WIDTH": 28}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(torch.nn.Module):
    def forward(self, scores):
        return torch.softmax(F.interpolate(scores, scale_factor=4, mode="bilinear", align_corners=False), dim=1)


def get_inputs():
    return [torch.randn(BATCH, CLASSES, HEIGHT, WIDTH, dtype=getattr(torch, DTYPE)) * 3]


def get_init_inputs():
    return []
