"""Attention of queries to another sequence, of which each example has its own length.

Translation and speech decoders over an encoder's output, latent image models over a prompt.
"""

import torch
import torch.nn.functional as F

FAMILY = "attention"
BATCH, HEADS, QUERIES, KEYS, DIM = 8, 16, 448, 1500, 64
DTYPE = "float32"
TWIN = {"BATCH": 3, "HEADS": 3, "QUERIES": 112, "KEYS": 375, "DIM": 64}
VARIANTS = {"half": {"DTYPE": "bfloat16"}}


class Model(torch.nn.Module):
    def forward(self, query, key, value, present):
        return F.scaled_dot_product_attention(query, key, value, attn_mask=present[:, None, None, :])


def get_inputs():
    dtype = getattr(torch, DTYPE)
    query = torch.randn(BATCH, HEADS, QUERIES, DIM, dtype=dtype)
    key, value = (torch.randn(BATCH, HEADS, KEYS, DIM, dtype=dtype) for _ in range(2))
    lengths = torch.randint(KEYS // 3, KEYS + 1, (BATCH, 1))
    return [query, key, value, torch.arange(KEYS) < lengths]


def get_init_inputs():
    return []
