"""Sum of three tensors that broadcast along different axes.

Attention scores plus a bias by relative position (T5, Swin) plus a bias for each key (padding, ALiBi-like penalties).
"""

import torch

FAMILY = "pointwise"
BATCH, HEADS, QUERIES, KEYS = 4, 12, 768, 1024
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 3, "HEADS": 4, "QUERIES": 96, "KEYS": 128}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def forward(self, scores, position_bias, key_bias):
        return scores + position_bias + key_bias[:, None, None, :]


def get_inputs():
    dtype = getattr(torch, DTYPE)
    return [
        torch.randn(BATCH, HEADS, QUERIES, KEYS, dtype=dtype),
        torch.randn(HEADS, QUERIES, KEYS, dtype=dtype),
        torch.randn(BATCH, KEYS, dtype=dtype),
    ]


def get_init_inputs():
    return []
