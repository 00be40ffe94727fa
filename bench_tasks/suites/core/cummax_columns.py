"""Running maximum down the columns.

Monotone envelopes: high-water marks of prices, monotonic alignment, visibility along lines of sight.
"""

import torch

FAMILY = "scan"
STEPS, SERIES = 1024, 20000
DTYPE = "float32"
TWIN = {"STEPS": 200, "SERIES": 1500}


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.cummax(x, dim=0).values


def get_inputs():
    return [torch.randn(STEPS, SERIES, dtype=getattr(torch, DTYPE)).cumsum(dim=0)]


def get_init_inputs():
    return []
