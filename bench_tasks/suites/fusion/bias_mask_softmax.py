"""Scores, a bias for each head, a padding mask, softmax.

Attention of encoders with batches of unequal lengths and a learned position bias.
"""

import torch
from torch import nn

FAMILY = "attention"
BATCH, HEADS, LENGTH = 16, 12, 384
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 2, "HEADS": 3, "LENGTH": 160}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}


class Model(nn.Module):
    def __init__(self, heads, length):
        super().__init__()
        self.bias = nn.Parameter(torch.randn(heads, length, length, dtype=getattr(torch, DTYPE)))

    def forward(self, scores, lengths):
        padding = torch.arange(scores.shape[-1], device=scores.device) >= lengths[:, None, None, None]
        return torch.softmax((scores + self.bias).masked_fill(padding, float("-inf")), dim=-1)


def get_inputs():
    scores = torch.randn(BATCH, HEADS, LENGTH, LENGTH, dtype=getattr(torch, DTYPE))
    return [scores, torch.randint(LENGTH // 3, LENGTH + 1, (BATCH,))]


def get_init_inputs():
    return [HEADS, LENGTH]
