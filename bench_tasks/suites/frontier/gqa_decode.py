"""One decoding step of grouped-query attention over a contiguous cache.

Eight query heads share each head of keys and values (arXiv:2305.13245).
"""

import math

import torch

FAMILY = "attention"
BATCH, HEADS, KV_HEADS, DIM = 32, 32, 4, 128
LENGTH = 2000
DTYPE = "bfloat16"
TWIN = {"BATCH": 4, "HEADS": 16, "KV_HEADS": 2, "DIM": 64, "LENGTH": 300}


class Model(torch.nn.Module):
    def forward(self, q, keys, values):
        """(BATCH, HEADS, DIM), twice (BATCH, KV_HEADS, LENGTH, DIM) -> as q"""
        grouped = q.unflatten(1, (keys.shape[1], -1)) / math.sqrt(q.shape[2])
        shares = torch.softmax(grouped @ keys.transpose(2, 3), -1)
        return (shares @ values).flatten(1, 2)


def get_inputs():
    dtype = getattr(torch, DTYPE)
    cache = (BATCH, KV_HEADS, LENGTH, DIM)
    return [torch.randn(size).to(dtype) for size in ((BATCH, HEADS, DIM), cache, cache)]


def get_init_inputs():
    return []
