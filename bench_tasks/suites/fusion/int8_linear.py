"""Linear layer whose weights are kept in 8 bits with a scale for each output.

Weight-only quantisation of language models: weights are widened on the way into the matrix product.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "matmul"
ROWS, IN, OUT = 512, 4096, 4096
DTYPE = "float32"
TWIN = {"ROWS": 96, "IN": 448, "OUT": 640}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(nn.Module):
    def __init__(self, features_in, features_out):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.register_buffer("weight", torch.randint(-127, 128, (features_out, features_in), dtype=torch.int8))
        self.scale = nn.Parameter((torch.rand(features_out, dtype=kind) + 0.5) / 73 * features_in**-0.5)
        self.bias = nn.Parameter(torch.randn(features_out, dtype=kind))

    def forward(self, x):
        return F.linear(x, self.weight.to(x.dtype) * self.scale[:, None], self.bias)


def get_inputs():
    return [torch.randn(ROWS, IN, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [IN, OUT]
