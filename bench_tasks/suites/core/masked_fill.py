"""Fills scores under a mask that broadcasts over heads and queries.

What encoder attention does to the keys that are padding, before the softmax.
"""

import torch

FAMILY = "pointwise"
BATCH, HEADS, QUERIES, KEYS = 8, 12, 512, 768
DTYPE = "float32"
TWIN = {"BATCH": 4, "HEADS": 3, "QUERIES": 96, "KEYS": 288}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(torch.nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, scores, padding):
        return scores.masked_fill(padding[:, None, None, :], self.value)


def get_inputs():
    scores = torch.randn(BATCH, HEADS, QUERIES, KEYS, dtype=getattr(torch, DTYPE))
    lengths = torch.randint(KEYS // 4, KEYS, (BATCH, 1))
    return [scores, torch.arange(KEYS) >= lengths]


def get_init_inputs():
    return [-10000.0]
