"""Product of a very tall matrix and a small one.

Random projections, the first layer on tabular data, block Krylov methods: bound by memory, not by arithmetic.
"""

import torch

FAMILY = "matmul"
ROWS, INNER, COLS = 500_000, 64, 24
DTYPE = "float32"
TWIN = {"ROWS": 6000}


class Model(torch.nn.Module):
    def forward(self, tall, small):
        return tall @ small


def get_inputs():
    dtype = getattr(torch, DTYPE)
    return [torch.randn(ROWS, INNER, dtype=dtype), torch.randn(INNER, COLS, dtype=dtype)]


def get_init_inputs():
    return []
