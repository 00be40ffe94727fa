"""How many values of each column are large, and whether a row has any.

Finds the outlier features that mixed int8 products keep in half precision (LLM.int8).
"""

import torch

FAMILY = "reduction"
TOKENS, HIDDEN = 8192, 4096
DTYPE = "float32"
TWIN = {"TOKENS": 512, "HIDDEN": 1024}


class Model(torch.nn.Module):
    def __init__(self, limit):
        super().__init__()
        self.limit = limit

    def forward(self, x):
        large = x.abs() > self.limit
        return large.sum(dim=0), large.any(dim=1)


def get_inputs():
    return [torch.randn(TOKENS, HIDDEN, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [3.5]
