"""Sum over the first axis.

The gradient of a bias from that of all tokens: long columns, neighbouring sums.
"""

import torch

FAMILY = "reduction"
TOKENS, HIDDEN = 16384, 2304
DTYPE = "float32"
TWIN = {"TOKENS": 1024, "HIDDEN": 576}
VARIANTS = {"half": {"DTYPE": "bfloat16"}}


class Model(torch.nn.Module):
    def forward(self, gradient):
        return gradient.sum(dim=0)


def get_inputs():
    return [torch.randn(TOKENS, HIDDEN, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
