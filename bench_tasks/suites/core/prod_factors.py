"""Product of a few factors for each point.

The weight of a tensor-product basis function, or of independent evidence, from its factors.
"""

import torch

FAMILY = "reduction"
FACTORS, POINTS = 6, 4_000_000
DTYPE = "float32"
TWIN = {"POINTS": 100_000}


class Model(torch.nn.Module):
    def forward(self, factors):
        return torch.prod(factors, dim=0)


def get_inputs():
    return [torch.randn(FACTORS, POINTS, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
