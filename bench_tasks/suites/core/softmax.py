"""Softmax over the last dimension.

Attention weights, routers and the heads of classifiers.
"""

import torch

FAMILY = "softmax"
ROWS, COLS = 8192, 8192
DTYPE = "float32"
BACKWARD = False
TWIN = {"ROWS": 256, "COLS": 1024}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)


def get_inputs():
    return [torch.randn(ROWS, COLS, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
