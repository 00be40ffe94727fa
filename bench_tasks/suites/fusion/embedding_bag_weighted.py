"""Rows of a table by index, summed with a weight for each.

A multi-hot feature of a recommender; in training the gradients go back to the rows that were read, many of them several times.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "indexing"
ENTRIES, WIDTH, BAGS, PER_BAG = 200000, 128, 8192, 32
DTYPE = "float32"
BACKWARD = False
TWIN = {"ENTRIES": 1500, "WIDTH": 96, "BAGS": 1024, "PER_BAG": 12}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}


class Model(nn.Module):
    def __init__(self, entries, width):
        super().__init__()
        self.table = nn.Parameter(torch.randn(entries, width, dtype=getattr(torch, DTYPE)))

    def forward(self, indices, weights):
        return (F.embedding(indices, self.table) * weights.unsqueeze(-1)).sum(dim=1)


def get_inputs():
    indices = (torch.rand(BAGS, PER_BAG).square() * ENTRIES).long()  # low numbers are frequent
    return [indices.clamp(max=ENTRIES - 1), torch.randn(BAGS, PER_BAG, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [ENTRIES, WIDTH]
