"""InfoNCE: which of all others belongs to each, in both directions.

Contrastive learning: cross entropies over the rows and over the columns of one matrix of similarities, which need not be written.
"""

import torch
import torch.nn.functional as F

FAMILY = "loss"
PAIRS, WIDTH = 4096, 768
DTYPE = "float32"
BACKWARD = False
TWIN = {"PAIRS": 240, "WIDTH": 560}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def __init__(self, temperature):
        super().__init__()
        self.temperature = temperature

    def forward(self, one, other):
        one, other = F.normalize(one, dim=-1), F.normalize(other, dim=-1)
        similar = one @ other.T / self.temperature
        right = similar.diagonal()
        return similar.logsumexp(dim=1) - right, similar.logsumexp(dim=0) - right


def get_inputs():
    one = torch.randn(PAIRS, WIDTH, dtype=getattr(torch, DTYPE))
    return [one, 0.2 * one + torch.randn_like(one)]


def get_init_inputs():
    return [0.07]
