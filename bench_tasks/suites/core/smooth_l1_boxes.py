"""Smooth L1 loss of box regressions, one for each box.

The box loss of Fast R-CNN and its successors.
"""

import torch
import torch.nn.functional as F

FAMILY = "loss"
BOXES = 2_500_000
DTYPE = "float32"
BACKWARD = False
TWIN = {"BOXES": 60_000}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def __init__(self, beta):
        super().__init__()
        self.beta = beta

    def forward(self, predicted, target):
        return F.smooth_l1_loss(predicted, target.detach(), reduction="none", beta=self.beta).sum(dim=-1)


def get_inputs():
    dtype = getattr(torch, DTYPE)
    target = torch.randn(BOXES, 4, dtype=dtype)
    return [target + 0.2 * torch.randn(BOXES, 4, dtype=dtype), target]


def get_init_inputs():
    return [0.125]
