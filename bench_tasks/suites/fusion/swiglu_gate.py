"""SwiGLU's gate on a packed tensor.

One matrix product makes both halves; what is left between it and the next is SiLU of one half times the other.
"""

import torch
import torch.nn.functional as F

FAMILY = "pointwise"
ROWS, WIDTH = 2048, 11008
DTYPE = "float32"
BACKWARD = False
TWIN = {"ROWS": 512, "WIDTH": 344}
VARIANTS = {"half": {"DTYPE": "bfloat16"}, "backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def forward(self, packed):
        gate, up = packed.chunk(2, dim=-1)
        return F.silu(gate) * up


def get_inputs():
    return [torch.randn(ROWS, 2 * WIDTH, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
