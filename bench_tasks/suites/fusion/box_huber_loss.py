"""Smooth L1 loss of box offsets, weighed by anchor.

Second stage of a detector: offsets in units of their deviations, four coordinates to one term, anchors without an object not counted.
"""

import torch
import torch.nn.functional as F

FAMILY = "loss"
ANCHORS = 1000003
DTYPE = "float32"
BACKWARD = False
TWIN = {"ANCHORS": 32003}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def __init__(self, deviations, beta):
        super().__init__()
        self.register_buffer("deviations", torch.tensor(deviations))
        self.beta = beta

    def forward(self, predicted, wanted, weight, labels):
        terms = F.smooth_l1_loss(
            predicted / self.deviations, wanted / self.deviations, reduction="none", beta=self.beta
        )
        return torch.where(labels > 0, terms.sum(dim=1) * weight, 0.0)


def get_inputs():
    kind = getattr(torch, DTYPE)
    boxes = [torch.randn(ANCHORS, 4, dtype=kind) * 0.2 for _ in range(2)]
    return [*boxes, torch.rand(ANCHORS, dtype=kind), torch.randint(0, 3, (ANCHORS,))]


def get_init_inputs():
    return [[0.1, 0.1, 0.2, 0.2], 0.111]
