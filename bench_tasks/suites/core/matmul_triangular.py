"""The lower triangle of a matrix times a matrix.

Drawing from Gaussian processes by a Cholesky factor; half of the multiplications need not be done.
"""

import torch

FAMILY = "matmul"
SIDE, COLS = 4096, 2048
DTYPE = "float32"
TWIN = {"SIDE": 480, "COLS": 240}


class Model(torch.nn.Module):
    def forward(self, factor, samples):
        return torch.tril(factor) @ samples


def get_inputs():
    dtype = getattr(torch, DTYPE)
    return [torch.randn(SIDE, SIDE, dtype=dtype), torch.randn(SIDE, COLS, dtype=dtype)]


def get_init_inputs():
    return []
