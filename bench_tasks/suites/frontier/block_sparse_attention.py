"""Attention in which every block of queries reads a chosen list of blocks of keys.

Trained sparse attention of long-context models (Native Sparse Attention, arXiv:2502.11089).
"""

import math

import torch

FAMILY = "attention"
BATCH, HEADS, LENGTH, DIM = 2, 8, 8192, 64
BLOCK, CHOSEN = 64, 12
DTYPE = "bfloat16"
TWIN = {"BATCH": 2, "HEADS": 2, "LENGTH": 288, "BLOCK": 32, "CHOSEN": 4}


class Model(torch.nn.Module):
    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, q, k, v, chosen):
        """Three (BATCH, HEADS, LENGTH, DIM), int32 (BATCH, HEADS, LENGTH / BLOCK, CHOSEN) -> as q"""
        q, k, v = (x.unflatten(2, (-1, self.block)) for x in (q, k, v))
        rows = chosen.long().flatten(2)[..., None, None].expand(-1, -1, -1, *k.shape[3:])
        k, v = (x.gather(2, rows).unflatten(2, chosen.shape[2:]).flatten(3, 4) for x in (k, v))
        shares = torch.softmax(q / math.sqrt(q.shape[4]) @ k.transpose(3, 4), -1)
        return (shares @ v).flatten(2, 3)


def get_inputs():
    blocks = LENGTH // BLOCK
    chosen = torch.rand(BATCH, HEADS, blocks, blocks).topk(CHOSEN).indices.to(torch.int32)
    size = (BATCH, HEADS, LENGTH, DIM)
    return [*(torch.randn(size).to(getattr(torch, DTYPE)) for _ in range(3)), chosen]


def get_init_inputs():
    return [BLOCK]
