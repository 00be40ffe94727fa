"""Hadamard rotation in blocks of 128, then 4-bit quantisation by token.

The rotation spreads outliers, so that activations survive four bits (QuaRot, arXiv:2404.00456). The result is given
as the values that the codes stand for.
"""

import math

import torch

FAMILY = "quantised"
TOKENS, WIDTH = 8192, 4096
BLOCK = 128
DTYPE = "float16"
TWIN = {"TOKENS": 192, "WIDTH": 1536}


class Model(torch.nn.Module):
    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, x):
        """(TOKENS, WIDTH) -> the same, quantised; and the scale of each token"""
        y, half = x.unflatten(1, (-1, self.block)), 1
        while half < self.block:
            pairs = y.unflatten(2, (-1, 2, half))
            y = torch.stack([pairs[:, :, :, 0] + pairs[:, :, :, 1], pairs[:, :, :, 0] - pairs[:, :, :, 1]], 3)
            y = y.flatten(2)
            half *= 2
        y = y.flatten(1) / math.sqrt(self.block)
        scale = y.abs().amax(1, keepdim=True) / 7 + 1e-5
        return torch.round(y / scale) * scale, scale


def get_inputs():
    return [torch.randn(TOKENS, WIDTH).to(getattr(torch, DTYPE))]


def get_init_inputs():
    return [BLOCK]
