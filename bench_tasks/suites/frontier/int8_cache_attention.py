"""One decoding step of attention over a cache of 8-bit integers with a scale for each head.

Quantised caches let more sequences share a GPU (KVQuant, arXiv:2401.18079; KIVI, arXiv:2402.02750).
"""

import math

import torch

FAMILY = "attention"
BATCH, HEADS, DIM, LENGTH = 32, 16, 128, 1500
DTYPE = "float16"
TWIN = {"BATCH": 4, "HEADS": 4, "DIM": 64, "LENGTH": 140}
# larger scales overflow half precision
WORKLOADS = [
    {"distribution": "as_given", "seeds": 3},
    {"distribution": "normal"},
    {"distribution": "uniform"},
    {"distribution": "one_hot"},
]


class Model(torch.nn.Module):
    def forward(self, q, keys, values, key_scale, value_scale, lengths):
        """(BATCH, HEADS, DIM), twice int8 (BATCH, HEADS, LENGTH, DIM), twice (HEADS,), int32 (BATCH,) -> as q"""
        keys = keys * key_scale[:, None, None]
        values = values * value_scale[:, None, None]
        scores = (keys @ (q / math.sqrt(q.shape[2]))[..., None])[..., 0]
        unused = torch.arange(keys.shape[2], device=q.device) >= lengths[:, None]
        shares = torch.softmax(scores.masked_fill(unused[:, None], -math.inf), -1)
        return (shares[:, :, None] @ values)[:, :, 0]


def get_inputs():
    dtype = getattr(torch, DTYPE)
    cache = (BATCH, HEADS, LENGTH, DIM)
    keys, values = ((torch.randn(cache) * 40).clamp(-127, 127).to(torch.int8) for _ in range(2))
    scales = [(torch.rand(HEADS) * 0.02 + 0.015).to(dtype) for _ in range(2)]
    lengths = torch.randint(LENGTH // 3, LENGTH + 1, (BATCH,)).to(torch.int32)
    return [torch.randn(BATCH, HEADS, DIM).to(dtype), keys, values, *scales, lengths]


def get_init_inputs():
    return []
