"""Microscaling quantisation: 8-bit floats that share a power of two in blocks of 32.

Activations and gradients on their way into an MXFP8 product (Microscaling Data Formats, arXiv:2310.10537).
"""

import torch

FAMILY = "quantised"
ROWS, COLS = 8192, 8192
DTYPE = "bfloat16"
TWIN = {"ROWS": 192, "COLS": 1536}


class Model(torch.nn.Module):
    def forward(self, x):
        """(ROWS, COLS) -> uint8 (ROWS, COLS), bits of float8 e4m3; uint8 (ROWS, COLS / 32), exponents plus 127"""
        blocks = x.unflatten(1, (-1, 32))
        exponent = torch.frexp(blocks.abs().amax(2)).exponent - 1  # of the block's largest
        shared = exponent - 8  # 2**8 is the largest power of two in e4m3
        scaled = torch.ldexp(blocks, -shared[..., None]).clamp(-448, 448)
        return scaled.to(torch.float8_e4m3fn).view(torch.uint8).flatten(1), (shared + 127).to(torch.uint8)


def get_inputs():
    rows = torch.randn(ROWS, 1).exp()
    return [(torch.randn(ROWS, COLS) * rows).to(getattr(torch, DTYPE))]


def get_init_inputs():
    return []
