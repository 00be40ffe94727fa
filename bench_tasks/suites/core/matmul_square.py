"""Product of two square matrices.

The measure of every machine, and close to the projections of a wide transformer on a few thousand tokens.
"""

import torch

FAMILY = "matmul"
SIDE = 4096
DTYPE = "float32"
TWIN = {"SIDE": 448}
VARIANTS = {"half": {"DTYPE": "bfloat16"}}


class Model(torch.nn.Module):
    def forward(self, a, b):
        return a @ b


def get_inputs():
    dtype = getattr(torch, DTYPE)
    return [torch.randn(SIDE, SIDE, dtype=dtype), torch.randn(SIDE, SIDE, dtype=dtype)]


def get_init_inputs():
    return []
