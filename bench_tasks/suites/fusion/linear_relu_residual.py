"""Linear layer, ReLU and a residual.

Rankers and residual perceptrons add the skip connection after the activation.
"""

import torch
from torch import nn

FAMILY = "matmul"
ROWS, IN, OUT = 8192, 2048, 512
DTYPE = "float32"
BACKWARD = False
TWIN = {"ROWS": 320, "IN": 480, "OUT": 192}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(nn.Module):
    def __init__(self, features_in, features_out):
        super().__init__()
        self.linear = nn.Linear(features_in, features_out, dtype=getattr(torch, DTYPE))

    def forward(self, x, residual):
        return torch.relu(self.linear(x)) + residual


def get_inputs():
    kind = getattr(torch, DTYPE)
    return [torch.randn(ROWS, IN, dtype=kind), torch.randn(ROWS, OUT, dtype=kind)]


def get_init_inputs():
    return [IN, OUT]
