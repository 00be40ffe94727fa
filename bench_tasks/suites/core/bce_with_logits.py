"""Binary cross entropy over many labels, positives weighted, one loss for each example.

Multi-label classification, where positives are rare.
"""

import torch
import torch.nn.functional as F

FAMILY = "loss"
EXAMPLES, LABELS = 16384, 1000
DTYPE = "float32"
BACKWARD = False
TWIN = {"EXAMPLES": 500, "LABELS": 600}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def __init__(self, labels):
        super().__init__()
        self.register_buffer("positive_weight", torch.rand(labels, dtype=getattr(torch, DTYPE)) * 4 + 1)

    def forward(self, logits, present):
        target = present.to(logits.dtype)
        loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none", pos_weight=self.positive_weight)
        return loss.sum(dim=-1)


def get_inputs():
    logits = 2 * torch.randn(EXAMPLES, LABELS, dtype=getattr(torch, DTYPE))
    return [logits, torch.rand(EXAMPLES, LABELS) < 0.15]


def get_init_inputs():
    return [LABELS]
