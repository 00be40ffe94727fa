"""Attention of one new query in each example to a cache of keys; several heads share the keys of one group.

A decoding step of grouped-query models (Llama 3, Mistral): the cache is read once and is all that counts.
"""

import torch
import torch.nn.functional as F

FAMILY = "attention"
BATCH, GROUPS, SHARED, KEYS, DIM = 16, 8, 4, 1536, 128
DTYPE = "float32"
TWIN = {"BATCH": 3, "GROUPS": 2, "SHARED": 4, "KEYS": 300, "DIM": 128}
VARIANTS = {"half": {"DTYPE": "bfloat16"}}


class Model(torch.nn.Module):
    def forward(self, query, key, value, lengths):
        present = torch.arange(key.shape[2], device=key.device) < lengths[:, None]
        return F.scaled_dot_product_attention(query, key, value, attn_mask=present[:, None, None, :])


def get_inputs():
    dtype = getattr(torch, DTYPE)
    query = torch.randn(BATCH, GROUPS, SHARED, DIM, dtype=dtype)
    key, value = (torch.randn(BATCH, GROUPS, KEYS, DIM, dtype=dtype) for _ in range(2))
    return [query, key, value, torch.randint(KEYS // 2, KEYS + 1, (BATCH,))]


def get_init_inputs():
    return []
