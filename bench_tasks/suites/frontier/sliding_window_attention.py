"""Causal attention in which a query sees only the last so many keys.

Long contexts at linear cost (Longformer, arXiv:2004.05150; Mistral 7B, arXiv:2310.06825).
"""

import math

import torch

FAMILY = "attention"
BATCH, HEADS, LENGTH, DIM = 2, 16, 4096, 128
WINDOW = 512
DTYPE = "float16"
BACKWARD = False
TWIN = {"BATCH": 2, "HEADS": 3, "LENGTH": 250, "DIM": 64, "WINDOW": 70}
VARIANTS = {"backward": {"BACKWARD": True, "DTYPE": "bfloat16"}}


class Model(torch.nn.Module):
    def __init__(self, window):
        super().__init__()
        self.window = window

    def forward(self, q, k, v):
        """Each (BATCH, HEADS, LENGTH, DIM)."""
        scores = (q / math.sqrt(q.shape[3])) @ k.transpose(2, 3)
        place = torch.arange(q.shape[2], device=q.device)
        back = place[:, None] - place
        scores = scores.masked_fill((back < 0) | (back >= self.window), -math.inf)
        return torch.softmax(scores, -1) @ v


def get_inputs():
    size = (BATCH, HEADS, LENGTH, DIM)
    return [torch.randn(size).to(getattr(torch, DTYPE)) for _ in range(3)]


def get_init_inputs():
    return [WINDOW]
