"""Focal loss of anchors over classes, one for each anchor.

RetinaNet (arXiv:1708.02002): what is already right counts for little.
"""

import torch
import torch.nn.functional as F

FAMILY = "loss"
ANCHORS, CLASSES = 200_000, 80
DTYPE = "float32"
BACKWARD = False
TWIN = {"ANCHORS": 5000, "CLASSES": 80}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def __init__(self, alpha):
        super().__init__()
        self.alpha = alpha

    def forward(self, logits, labels):
        present = labels[:, None] == torch.arange(logits.shape[1], device=logits.device)
        sign = torch.where(present, 1.0, -1.0).to(logits.dtype) * logits
        weight = torch.where(present, self.alpha, 1 - self.alpha).to(logits.dtype)
        return (weight * torch.sigmoid(-sign).square() * F.softplus(-sign)).sum(dim=-1)


def get_inputs():
    logits = 2 * torch.randn(ANCHORS, CLASSES, dtype=getattr(torch, DTYPE))
    return [logits, torch.randint(-1, CLASSES, (ANCHORS,))]


def get_init_inputs():
    return [0.25]
