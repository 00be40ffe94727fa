"""Sum along rows.

Degrees of a weighted graph, normalisers, mixing weights: whatever is added up where memory runs.
"""

import torch

FAMILY = "reduction"
ROWS, COLS = 8192, 5120
DTYPE = "float32"
TWIN = {"ROWS": 300, "COLS": 1280}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(torch.nn.Module):
    def forward(self, x):
        return x.sum(dim=-1)


def get_inputs():
    return [torch.randn(ROWS, COLS, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
