"""A matrix times its own transpose.

Gram matrices of features (kernel methods, Shampoo's and Muon's statistics): symmetric, so half would do.
"""

import torch

FAMILY = "matmul"
ROWS, FEATURES = 4096, 2048
DTYPE = "float32"
TWIN = {"ROWS": 432, "FEATURES": 480}
VARIANTS = {"half": {"DTYPE": "bfloat16"}}


class Model(torch.nn.Module):
    def forward(self, x):
        return x @ x.mT


def get_inputs():
    return [torch.randn(ROWS, FEATURES, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
