"""Attention of every query to every key.

Encoders (BERT, ViT) and diffusion transformers.
"""

import torch
import torch.nn.functional as F

FAMILY = "attention"
BATCH, HEADS, LENGTH, DIM = 4, 16, 1024, 64
DTYPE = "float32"
TWIN = {"BATCH": 2, "HEADS": 3, "LENGTH": 288}
VARIANTS = {"half": {"DTYPE": "bfloat16"}}


class Model(torch.nn.Module):
    def forward(self, query, key, value):
        return F.scaled_dot_product_attention(query, key, value)


def get_inputs():
    dtype = getattr(torch, DTYPE)
    return [torch.randn(BATCH, HEADS, LENGTH, DIM, dtype=dtype) for _ in range(3)]


def get_init_inputs():
    return []
