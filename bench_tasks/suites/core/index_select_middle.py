"""Picks and reorders entries along the middle axis.

Token pruning and masked autoencoders: the same kept places for all examples.
"""

import torch

FAMILY = "indexing"
BATCH, LENGTH, KEPT, DIM = 64, 576, 432, 768
DTYPE = "float32"
TWIN = {"BATCH": 8, "LENGTH": 144, "KEPT": 108, "DIM": 288}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(torch.nn.Module):
    def forward(self, tokens, kept):
        return torch.index_select(tokens, 1, kept)


def get_inputs():
    tokens = torch.randn(BATCH, LENGTH, DIM, dtype=getattr(torch, DTYPE))
    return [tokens, torch.randperm(LENGTH)[:KEPT]]


def get_init_inputs():
    return []
