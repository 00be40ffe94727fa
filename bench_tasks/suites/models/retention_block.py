"""Multi-scale retention: attention without softmax, its scores decaying with the distance, normed by head and gated.

The layer of RetNet in its parallel form; each head forgets at a rate of its own.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "recurrent"
BATCH, LENGTH, WIDTH, HEADS = 4, 512, 1024, 8
DTYPE = "float32"
TWIN = {"BATCH": 2, "LENGTH": 104, "WIDTH": 192, "HEADS": 6}
VARIANTS = {"half": {"DTYPE": "bfloat16"}}


class Model(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.heads = heads
        self.project = nn.Parameter(torch.randn(width, 4 * width, dtype=kind) * width**-0.5)
        self.norm = nn.GroupNorm(heads, width, affine=False, dtype=kind)
        self.out = nn.Parameter(torch.randn(width, width, dtype=kind) * width**-0.5)

    def forward(self, x):
        q, k, v, gate = (x @ self.project).chunk(4, dim=-1)
        q, k, v = (t.unflatten(2, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        place = torch.arange(x.shape[1], device=x.device)
        distance = place[:, None] - place[None, :]
        decay = 1 - 2.0 ** (-3 - torch.arange(self.heads, device=x.device))
        weight = torch.where(distance >= 0, decay[:, None, None] ** distance.clamp(min=0), 0.0).to(x.dtype)
        mixed = ((q @ k.transpose(2, 3)) * q.shape[-1] ** -0.5 * weight) @ v
        normal = self.norm(mixed.transpose(1, 2).flatten(0, 1).flatten(1)).view_as(x)
        return (normal * F.silu(gate)) @ self.out


def get_inputs():
    return [torch.randn(BATCH, LENGTH, WIDTH, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [WIDTH, HEADS]
