"""Softmax of scores at a temperature over the keys that a query may see.

Causal attention where the scores themselves are wanted, and the decoder of models without a fused attention.
"""

import torch

FAMILY = "softmax"
BATCH, HEADS, LENGTH = 4, 12, 768
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 2, "HEADS": 3, "LENGTH": 280}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def __init__(self, temperature):
        super().__init__()
        self.temperature = temperature

    def forward(self, scores):
        length = scores.shape[-1]
        later = torch.ones(length, length, dtype=torch.bool, device=scores.device).triu(1)
        return torch.softmax((scores / self.temperature).masked_fill(later, float("-inf")), dim=-1)


def get_inputs():
    return [8 * torch.randn(BATCH, HEADS, LENGTH, LENGTH, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [8.0]
