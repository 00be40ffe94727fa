"""Bilinear resize of images, then mean and deviation of each colour.

In front of every vision model; each pixel is read once, and the normalisation is one multiplication and addition more.
"""

import torch
import torch.nn.functional as F

FAMILY = "image"
BATCH, SIZE, RESIZED = 64, 336, 224
DTYPE = "float32"
TWIN = {"BATCH": 6, "SIZE": 108, "RESIZED": 72}


class Model(torch.nn.Module):
    def __init__(self, resized, mean, deviation):
        super().__init__()
        self.resized = resized
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation).view(3, 1, 1))

    def forward(self, images):
        small = F.interpolate(images, size=(self.resized, self.resized), mode="bilinear", align_corners=False)
        return (small - self.mean) / self.deviation


def get_inputs():
    return [torch.rand(BATCH, 3, SIZE, SIZE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [RESIZED, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]
