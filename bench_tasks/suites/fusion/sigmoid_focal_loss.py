"""Sigmoid focal loss of each anchor, summed over the classes.

One-stage detectors such as RetinaNet: most anchors are background, their easy terms are weighed down. The one-hot targets
are never written.
"""

import torch
import torch.nn.functional as F

FAMILY = "loss"
ANCHORS, CLASSES = 120087, 80
DTYPE = "float32"
BACKWARD = False
TWIN = {"ANCHORS": 3507}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def __init__(self, alpha, gamma):
        super().__init__()
        self.alpha, self.gamma = alpha, gamma

    def forward(self, logits, labels):
        right = labels[:, None] == torch.arange(logits.shape[1], device=logits.device)
        signed = torch.where(right, logits, -logits)
        weight = torch.where(right, self.alpha, 1 - self.alpha) * torch.sigmoid(-signed) ** self.gamma
        return -(weight * F.logsigmoid(signed)).sum(dim=1)


def get_inputs():
    labels = torch.randint(0, CLASSES, (ANCHORS,))
    labels[torch.rand(ANCHORS) < 0.5] = CLASSES  # background
    return [torch.randn(ANCHORS, CLASSES, dtype=getattr(torch, DTYPE)) * 2, labels]


def get_init_inputs():
    return [0.25, 2.0]
