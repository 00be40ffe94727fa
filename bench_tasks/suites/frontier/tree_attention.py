"""Attention of drafted tokens that form a tree, over a common prefix and each token's ancestors.

Speculative decoding checks all branches in one pass (SpecInfer, arXiv:2305.09781; Medusa, arXiv:2401.10774).
"""

import math

import torch

FAMILY = "attention"
BATCH, HEADS, PREFIX, DIM = 8, 32, 1024, 128
DRAFT = 60
DTYPE = "float16"
TWIN = {"BATCH": 2, "HEADS": 6, "PREFIX": 160, "DIM": 64, "DRAFT": 26}


class Model(torch.nn.Module):
    def forward(self, q, k, v, ancestors):
        """(BATCH, HEADS, DRAFT, DIM), keys and values (BATCH, HEADS, PREFIX + DRAFT, DIM), int64 (BATCH, DRAFT) -> as q

        Bit j of a token's word says whether it sees drafted token j; it sees itself.
        """
        draft = torch.arange(q.shape[2], device=q.device)
        sees = (ancestors[..., None] >> draft & 1).bool()
        sees = torch.nn.functional.pad(sees, (k.shape[2] - q.shape[2], 0), value=True)
        scores = (q / math.sqrt(q.shape[3])) @ k.transpose(2, 3)
        return torch.softmax(scores.masked_fill(~sees[:, None], -math.inf), -1) @ v


def trees():
    """Each token's parent is one of the tokens before it, or the prefix."""
    parent = (torch.rand(BATCH, DRAFT) * (torch.arange(DRAFT) + 1)).long() - 1
    reach = torch.eye(DRAFT) + (parent[..., None] == torch.arange(DRAFT))
    for _ in range(6):
        reach = (reach @ reach).clamp(max=1)
    return (reach.long() << torch.arange(DRAFT)).sum(2)


def get_inputs():
    dtype = getattr(torch, DTYPE)
    q, cache = torch.randn(BATCH, HEADS, DRAFT, DIM), (BATCH, HEADS, PREFIX + DRAFT, DIM)
    return [q.to(dtype), torch.randn(cache).to(dtype), torch.randn(cache).to(dtype), trees()]


def get_init_inputs():
    return []
