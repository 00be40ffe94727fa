"""A matrix plus a scaled product of two thin ones.

Merging a LoRA adapter into its weight (arXiv:2106.09685): rank 16, bound by memory.
"""

import torch

FAMILY = "matmul"
ROWS, COLS, RANK = 4096, 5120, 16
DTYPE = "float32"
TWIN = {"ROWS": 512, "COLS": 640}
VARIANTS = {"half": {"DTYPE": "bfloat16"}}


class Model(torch.nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, weight, up, down):
        return torch.addmm(weight, up, down, alpha=self.scale)


def get_inputs():
    dtype = getattr(torch, DTYPE)
    return [
        torch.randn(ROWS, COLS, dtype=dtype),
        torch.randn(ROWS, RANK, dtype=dtype),
        torch.randn(RANK, COLS, dtype=dtype),
    ]


def get_init_inputs():
    return [0.5]
