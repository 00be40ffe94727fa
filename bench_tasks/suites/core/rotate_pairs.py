"""Rotates neighbouring pairs of features by position, a complex product.

Rotary position embedding in its interleaved form, as GPT-J and the published Llama weights have it.
"""

import torch

FAMILY = "pointwise"
BATCH, LENGTH, HEADS, DIM = 2, 2048, 32, 128
DTYPE = "float32"
TWIN = {"BATCH": 2, "LENGTH": 200, "HEADS": 6, "DIM": 96}
VARIANTS = {"half": {"DTYPE": "bfloat16"}}


class Model(torch.nn.Module):
    def forward(self, x, cos, sin):
        even, odd = x[..., 0::2], x[..., 1::2]
        cos, sin = cos[:, None, :], sin[:, None, :]
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


def get_inputs():
    dtype = getattr(torch, DTYPE)
    frequency = 10000.0 ** (-torch.arange(0, DIM, 2) / DIM)
    angle = torch.arange(LENGTH)[:, None] * frequency
    return [torch.randn(BATCH, LENGTH, HEADS, DIM, dtype=dtype), angle.cos().to(dtype), angle.sin().to(dtype)]


def get_init_inputs():
    return []
