"""Continuous-filter convolution: neighbours' features times a filter made from their distance.

SchNet's interaction between atoms: radial basis functions, two small layers for each edge, product, sum at the target.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "graph"
ATOMS, EDGES, WIDTH, BASIS = 10000, 160000, 128, 50
DTYPE = "float32"
TWIN = {"ATOMS": 2000, "EDGES": 7000, "WIDTH": 64, "BASIS": 20}


class Model(nn.Module):
    def __init__(self, width, basis, cutoff):
        super().__init__()
        self.cutoff, self.basis = cutoff, basis
        self.filter1 = nn.Linear(basis, width)
        self.filter2 = nn.Linear(width, width)
        self.weight = nn.Parameter(torch.randn(width, width) * width**-0.5)

    def forward(self, x, distance, source, target):
        spacing = self.cutoff / (self.basis - 1)
        centres = torch.arange(self.basis, device=x.device) * spacing
        waves = torch.exp(-0.5 * ((distance[:, None] - centres) / spacing).square())
        filters = self.filter2(F.softplus(self.filter1(waves)))
        y = x @ self.weight
        return y.index_add(0, target, y[source] * filters)


def get_inputs():
    source, target = torch.randint(0, ATOMS, (2, EDGES))
    return [torch.randn(ATOMS, WIDTH), torch.rand(EDGES) * 10, source, target]


def get_init_inputs():
    return [WIDTH, BASIS, 10.0]
