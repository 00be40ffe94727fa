"""Linear layer with bias and GELU.

The first half of a transformer's feed-forward block: the epilogue belongs into the matrix product.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "matmul"
ROWS, IN, OUT = 4096, 1024, 4096
DTYPE = "float32"
BACKWARD = False
TWIN = {"ROWS": 192, "IN": 256, "OUT": 640}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}


class Model(nn.Module):
    def __init__(self, features_in, features_out):
        super().__init__()
        self.linear = nn.Linear(features_in, features_out, dtype=getattr(torch, DTYPE))

    def forward(self, x):
        return F.gelu(self.linear(x))


def get_inputs():
    return [torch.randn(ROWS, IN, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [IN, OUT]
