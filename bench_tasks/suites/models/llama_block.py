"""Block with RMS norms, rotary positions, grouped queries and SwiGLU.

The layer of Llama and most language models since; the sizes are TinyLlama's.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "transformer"
BATCH, LENGTH, WIDTH, HEADS, KV_HEADS, HIDDEN = 1, 512, 2048, 32, 4, 5632
DTYPE = "float32"
TWIN = {"BATCH": 2, "LENGTH": 80, "WIDTH": 192, "HEADS": 6, "KV_HEADS": 2, "HIDDEN": 512}
VARIANTS = {"half": {"DTYPE": "bfloat16"}}


def matrix(features_in, features_out, gain=1.0):
    return nn.Parameter(torch.randn(features_in, features_out, dtype=getattr(torch, DTYPE)) * gain * features_in**-0.5)


def rotated(x, cosine, sine):
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


class Model(nn.Module):
    def __init__(self, width, heads, kv_heads, hidden):
        super().__init__()
        kind, size = getattr(torch, DTYPE), width // heads
        self.heads, self.size = heads, size
        self.norm1, self.norm2 = nn.RMSNorm(width, eps=1e-5, dtype=kind), nn.RMSNorm(width, eps=1e-5, dtype=kind)
        self.query, self.key = matrix(width, width, 2), matrix(width, kv_heads * size)
        self.value, self.out = matrix(width, kv_heads * size, 2), matrix(width, width)
        self.gate, self.up, self.down = matrix(width, hidden), matrix(width, hidden), matrix(hidden, width, 2)

    def forward(self, x, cosine, sine):
        y = self.norm1(x)
        q, k, v = ((y @ w).unflatten(2, (-1, self.size)).transpose(1, 2) for w in (self.query, self.key, self.value))
        q, k = rotated(q, cosine, sine), rotated(k, cosine, sine)
        k, v = (t.repeat_interleave(self.heads // t.shape[1], dim=1) for t in (k, v))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + mixed.transpose(1, 2).flatten(2) @ self.out
        y = self.norm2(x)
        return x + (F.silu(y @ self.gate) * (y @ self.up)) @ self.down


def get_inputs():
    kind, half = getattr(torch, DTYPE), WIDTH // HEADS // 2
    angles = torch.arange(LENGTH)[:, None] * 10000.0 ** -(torch.arange(half) / half)
    return [torch.randn(BATCH, LENGTH, WIDTH, dtype=kind), angles.cos().to(kind), angles.sin().to(kind)]


def get_init_inputs():
    return [WIDTH, HEADS, KV_HEADS, HIDDEN]
