"""Logarithm of the softmax over the class axis of a map.

Semantic segmentation: the classes of a pixel lie far apart in memory.
"""

import torch
import torch.nn.functional as F

FAMILY = "softmax"
BATCH, CLASSES, SIDE = 8, 150, 128
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 2, "CLASSES": 75, "SIDE": 40}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def forward(self, logits):
        return F.log_softmax(logits, dim=1)


def get_inputs():
    return [torch.randn(BATCH, CLASSES, SIDE, SIDE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
