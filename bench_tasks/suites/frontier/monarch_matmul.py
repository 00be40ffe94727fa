"""Product with a Monarch matrix: two block-diagonal ones with a transposition between.

Structured weights that tensor cores can do (arXiv:2204.00595).
"""

import torch

FAMILY = "matmul"
BATCH, BLOCKS, INNER, OUTER = 8192, 64, 64, 48
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 500, "BLOCKS": 16, "INNER": 24, "OUTER": 20}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def __init__(self, blocks, inner, outer, dtype):
        super().__init__()
        dtype = getattr(torch, dtype)
        self.right = torch.nn.Parameter((torch.randn(blocks, inner, inner) * inner**-0.5).to(dtype))
        self.left = torch.nn.Parameter((torch.randn(inner, blocks, outer) * blocks**-0.5).to(dtype))

    def forward(self, x):
        """(BATCH, BLOCKS * INNER) -> (BATCH, OUTER * INNER)"""
        x = x.unflatten(1, self.right.shape[:2])
        x = torch.einsum("nbi,bij->njb", x, self.right)
        return torch.einsum("njb,jbo->noj", x, self.left).flatten(1)


def get_inputs():
    return [torch.randn(BATCH, BLOCKS * INNER).to(getattr(torch, DTYPE))]


def get_init_inputs():
    return [BLOCKS, INNER, OUTER, DTYPE]
