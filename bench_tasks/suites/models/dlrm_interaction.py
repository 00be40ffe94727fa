"""Embeddings and dense features, the products of every pair of them, and the network above.

The heart of DLRM: 27 vectors for each sample, of whose Gram matrix the lower half goes on.
"""

import torch
from torch import nn

FAMILY = "recommender"
BATCH, TABLES, ENTRIES, WIDTH, DENSE, HIDDEN = 8192, 26, 20000, 64, 13, 256
DTYPE = "float32"
TWIN = {"BATCH": 256, "ENTRIES": 400, "WIDTH": 24, "HIDDEN": 96}


class Model(nn.Module):
    def __init__(self, tables, entries, width, dense, hidden):
        super().__init__()
        self.tables = nn.Parameter(torch.randn(tables, entries, width) * width**-0.25)
        self.bottom = nn.Linear(dense, width)
        self.top1 = nn.Linear(tables * (tables + 1) // 2 + width, hidden)
        self.top2 = nn.Linear(hidden, hidden)

    def forward(self, dense, indices):
        first = torch.relu(self.bottom(dense))
        rows = self.tables[torch.arange(indices.shape[1], device=indices.device), indices]
        vectors = torch.cat([first.unsqueeze(1), rows], dim=1)
        pairs = vectors @ vectors.transpose(1, 2)
        i, j = torch.tril_indices(pairs.shape[1], pairs.shape[1], offset=-1, device=pairs.device)
        return torch.relu(self.top2(torch.relu(self.top1(torch.cat([first, pairs[:, i, j]], dim=1)))))


def get_inputs():
    indices = (torch.rand(BATCH, TABLES) ** 2 * ENTRIES).long().clamp(max=ENTRIES - 1)
    return [torch.randn(BATCH, DENSE), indices]


def get_init_inputs():
    return [TABLES, ENTRIES, WIDTH, DENSE, HIDDEN]
