"""A matrix times a vector.

What each layer of a language model does for one new token: the weight is read once, nothing is reused.
"""

import torch

FAMILY = "matmul"
OUTPUTS, INPUTS = 5120, 8192
DTYPE = "float32"
TWIN = {"OUTPUTS": 320, "INPUTS": 2048}
VARIANTS = {"half": {"DTYPE": "bfloat16"}}


class Model(torch.nn.Module):
    def forward(self, weight, x):
        return torch.mv(weight, x)


def get_inputs():
    dtype = getattr(torch, DTYPE)
    return [torch.randn(OUTPUTS, INPUTS, dtype=dtype), torch.randn(INPUTS, dtype=dtype)]


def get_init_inputs():
    return []
