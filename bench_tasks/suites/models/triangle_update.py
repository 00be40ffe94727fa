"""Triangle update: every pair of residues from all triangles that it is a side of.

AlphaFold's multiplicative update along outgoing edges: two gated projections, a product over the third corner for each
channel, a norm, a gate. Residues that are padding take no part.
"""

import torch
from torch import nn

FAMILY = "transformer"
LENGTH, WIDTH, INNER = 256, 128, 128
DTYPE = "float32"
TWIN = {"LENGTH": 44, "WIDTH": 64, "INNER": 48}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.norm, self.norm_inner = nn.LayerNorm(width, dtype=kind), nn.LayerNorm(inner, dtype=kind)
        self.project, self.gate = (
            nn.Linear(width, 2 * inner, bias=False, dtype=kind),
            nn.Linear(width, 2 * inner, dtype=kind),
        )
        self.out, self.gate_out = nn.Linear(inner, width, bias=False, dtype=kind), nn.Linear(width, width, dtype=kind)
        for name, weight in self.named_parameters():
            if name.endswith("bias"):  # as after training: one near zero would hardly show
                nn.init.normal_(weight, std=0.5)

    def forward(self, pairs, mask):
        z = self.norm(pairs)
        both = (self.project(z) * torch.sigmoid(self.gate(z))).masked_fill(~mask.unsqueeze(-1), 0.0)
        one, other = both.chunk(2, dim=-1)
        joined = torch.einsum("ikc,jkc->ijc", one, other)
        return self.out(self.norm_inner(joined)) * torch.sigmoid(self.gate_out(z))


def get_inputs():
    there = torch.rand(LENGTH) < 0.9
    return [torch.randn(LENGTH, LENGTH, WIDTH, dtype=getattr(torch, DTYPE)), there[:, None] & there]


def get_init_inputs():
    return [WIDTH, INNER]
