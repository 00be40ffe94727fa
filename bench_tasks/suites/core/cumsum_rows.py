"""Running sum along rows.

Probabilities into distribution functions for sampling, positions from lengths, integral images.
"""

import torch

FAMILY = "scan"
ROWS, COLS = 2048, 12000
DTYPE = "float32"
BACKWARD = False
TWIN = {"ROWS": 80, "COLS": 3000}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.cumsum(x, dim=-1)


def get_inputs():
    return [torch.randn(ROWS, COLS, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
