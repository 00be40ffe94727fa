"""A batch of small matrix products.

Attention scores times values, and the products by capsules or frequencies that spectral layers do.
"""

import torch

FAMILY = "matmul"
BATCH, ROWS, INNER, COLS = 96, 512, 384, 256
DTYPE = "float32"
TWIN = {"BATCH": 9, "ROWS": 128, "INNER": 96, "COLS": 120}
VARIANTS = {"half": {"DTYPE": "bfloat16"}}


class Model(torch.nn.Module):
    def forward(self, a, b):
        return torch.bmm(a, b)


def get_inputs():
    dtype = getattr(torch, DTYPE)
    return [torch.randn(BATCH, ROWS, INNER, dtype=dtype), torch.randn(BATCH, INNER, COLS, dtype=dtype)]


def get_init_inputs():
    return []
