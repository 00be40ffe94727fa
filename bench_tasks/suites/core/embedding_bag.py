"""Weighted sum of some rows of a table for each example.

The sparse features of recommendation models (DLRM): short bags, rows at random places of a large table.
"""

import torch
import torch.nn.functional as F

FAMILY = "indexing"
EXAMPLES, BAG, ROWS, DIM = 65536, 20, 100_000, 128
DTYPE = "float32"
TWIN = {"EXAMPLES": 1000, "ROWS": 2500, "DIM": 96}


class Model(torch.nn.Module):
    def __init__(self, rows, dim):
        super().__init__()
        self.table = torch.nn.Parameter(torch.randn(rows, dim, dtype=getattr(torch, DTYPE)))

    def forward(self, picked, weights):
        return F.embedding_bag(picked, self.table, mode="sum", per_sample_weights=weights)


def get_inputs():
    return [torch.randint(0, ROWS, (EXAMPLES, BAG)), torch.rand(EXAMPLES, BAG, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [ROWS, DIM]
