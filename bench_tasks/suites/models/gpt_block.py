"""Pre-norm transformer block: causal attention and a GELU feed-forward, each on a residual.

The layer of GPT-2 and its like.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "transformer"
BATCH, LENGTH, WIDTH, HEADS = 2, 1024, 768, 12
DTYPE = "float32"
BACKWARD = False
TWIN = {"LENGTH": 48, "WIDTH": 160, "HEADS": 5}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}


def matrix(features_in, features_out, gain=1.0):
    return nn.Parameter(torch.randn(features_out, features_in, dtype=getattr(torch, DTYPE)) * gain * features_in**-0.5)


class Model(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, dtype=kind), nn.LayerNorm(width, dtype=kind)
        self.query, self.key = matrix(width, width, 2), matrix(width, width)
        self.value, self.out = matrix(width, width, 2), matrix(width, width)
        self.up, self.down = matrix(width, 4 * width), matrix(4 * width, width, 2)
        nn.init.normal_(self.norm1.bias, std=0.5)
        nn.init.normal_(self.norm2.bias, std=0.5)
        self.up_bias = nn.Parameter(torch.randn(4 * width, dtype=kind))
        self.down_bias = nn.Parameter(torch.randn(width, dtype=kind))

    def forward(self, x):
        y = self.norm1(x)
        q, k, v = (
            F.linear(y, w).unflatten(2, (self.heads, -1)).transpose(1, 2) for w in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + F.linear(mixed.transpose(1, 2).flatten(2), self.out)
        y = F.gelu(F.linear(self.norm2(x), self.up, self.up_bias))
        return x + F.linear(y, self.down, self.down_bias)


def get_inputs():
    return [torch.randn(BATCH, LENGTH, WIDTH, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [WIDTH, HEADS]
