"""Linear layer to both halves of a GEGLU, gated.

The feed-forward entry in the transformer blocks of Stable Diffusion's U-Net.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "matmul"
ROWS, WIDTH, HIDDEN = 8192, 320, 1280
DTYPE = "float32"
BACKWARD = False
TWIN = {"ROWS": 160, "WIDTH": 160, "HIDDEN": 640}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}


class Model(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.project = nn.Linear(width, 2 * hidden, dtype=getattr(torch, DTYPE))

    def forward(self, x):
        value, gate = self.project(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


def get_inputs():
    return [torch.randn(ROWS, WIDTH, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [WIDTH, HIDDEN]
