"""Cosine similarity of every image and every text, times a learned temperature.

The head of CLIP: both sides go to unit length, which need not be written.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "matmul"
IMAGES, TEXTS, WIDTH = 4096, 3072, 512
DTYPE = "float32"
BACKWARD = False
TWIN = {"IMAGES": 384, "TEXTS": 288, "WIDTH": 256}
VARIANTS = {"half": {"DTYPE": "bfloat16"}, "backward": {"BACKWARD": True}}


class Model(nn.Module):
    def __init__(self, temperature):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(temperature, dtype=getattr(torch, DTYPE)).log().neg())

    def forward(self, images, texts):
        return F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).T * self.scale.exp()


def get_inputs():
    kind = getattr(torch, DTYPE)
    return [torch.randn(IMAGES, WIDTH, dtype=kind), torch.randn(TEXTS, WIDTH, dtype=kind)]


def get_init_inputs():
    return [0.07]
