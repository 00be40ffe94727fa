"""Mixture of experts: tokens gathered by expert, multiplied by its weights, added back with their gates.

Every expert has room for a fixed number of tokens, some of it empty (Switch Transformers, arXiv:2101.03961; MegaBlocks, arXiv:2211.15841).
"""

import torch

FAMILY = "moe"
TOKENS, EXPERTS, ROOM = 4096, 16, 640
INNER, OUTER = 2048, 1024
DTYPE = "bfloat16"
BACKWARD = False
TWIN = {"TOKENS": 192, "EXPERTS": 6, "ROOM": 80, "INNER": 256, "OUTER": 160}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def __init__(self, experts, inner, outer, dtype):
        super().__init__()
        weight = torch.randn(experts, inner, outer) * inner**-0.5
        self.weight = torch.nn.Parameter(weight.to(getattr(torch, dtype)))

    def forward(self, x, slots, gates):
        """(TOKENS, INNER), int32 (EXPERTS, ROOM) of tokens or -1, gates (EXPERTS, ROOM) -> (TOKENS, OUTER)"""
        token = slots.clamp(min=0).long()
        gates = gates.masked_fill(slots < 0, 0.0)
        found = torch.bmm(x[token], self.weight) * gates[..., None]
        out = torch.zeros(x.shape[0], found.shape[2], dtype=x.dtype, device=x.device)
        return out.index_add(0, token.flatten(), found.flatten(0, 1))


def get_inputs():
    dtype = getattr(torch, DTYPE)
    twice = torch.arange(TOKENS).repeat(2)
    empty = torch.full((EXPERTS * ROOM - 2 * TOKENS,), -1)
    slots = torch.cat([twice, empty])[torch.randperm(EXPERTS * ROOM)].view(EXPERTS, ROOM)
    return [torch.randn(TOKENS, INNER).to(dtype), slots.int(), torch.rand(EXPERTS, ROOM).to(dtype)]


def get_init_inputs():
    return [EXPERTS, INNER, OUTER, DTYPE]
