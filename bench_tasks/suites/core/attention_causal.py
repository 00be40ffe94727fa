"""Attention of each query to the keys up to its own place.

Training and prefill of decoder language models.
"""

import torch
import torch.nn.functional as F

FAMILY = "attention"
BATCH, HEADS, LENGTH, DIM = 1, 16, 2048, 128
DTYPE = "float32"
BACKWARD = False
TWIN = {"HEADS": 2, "LENGTH": 320, "DIM": 128}
VARIANTS = {
    "half": {"DTYPE": "bfloat16"},
    "backward": {"BACKWARD": True, "TWIN": {"HEADS": 2, "LENGTH": 256, "DIM": 128}},
}


class Model(torch.nn.Module):
    def forward(self, query, key, value):
        return F.scaled_dot_product_attention(query, key, value, is_causal=True)


def get_inputs():
    dtype = getattr(torch, DTYPE)
    return [torch.randn(BATCH, HEADS, LENGTH, DIM, dtype=dtype) for _ in range(3)]


def get_init_inputs():
    return []
