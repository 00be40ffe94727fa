"""Queries and keys normalised by head and rotated, keys and values written to their places in a paged cache.

Everything between the projection and the attention of a decoder with norms on queries and keys (Qwen3, arXiv:2505.09388).
Pages are given back filled for these tokens only, in the order of their places.
"""

import torch

FAMILY = "positional"
TOKENS, HEADS, KV_HEADS, DIM = 8192, 16, 4, 128
DTYPE = "bfloat16"
TWIN = {"TOKENS": 250, "HEADS": 6, "KV_HEADS": 2, "DIM": 64}


def normed(x, gain):
    return x * torch.rsqrt(x.square().mean(2, keepdim=True) + 1e-6) * gain


def rotated(x, cosine, sine):
    first, second = x.chunk(2, 2)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], 2)


class Model(torch.nn.Module):
    def __init__(self, heads, kv_heads, dim, dtype):
        super().__init__()
        self.heads, self.kv_heads = heads, kv_heads
        self.q_gain = torch.nn.Parameter(torch.ones(dim, dtype=getattr(torch, dtype)))
        self.k_gain = torch.nn.Parameter(torch.ones(dim, dtype=getattr(torch, dtype)))

    def forward(self, packed, cosine, sine, place):
        """(TOKENS, HEADS + 2 * KV_HEADS, DIM), twice (TOKENS, DIM / 2), int64 (TOKENS,), a permutation
        -> q (TOKENS, HEADS, DIM), keys and values (KV_HEADS, TOKENS, DIM) at their places
        """
        q, k, v = packed.split([self.heads, self.kv_heads, self.kv_heads], 1)
        cosine, sine = cosine[:, None], sine[:, None]
        q, k = rotated(normed(q, self.q_gain), cosine, sine), rotated(normed(k, self.k_gain), cosine, sine)
        index = place[:, None, None].expand_as(k)
        keys, values = (torch.empty_like(x).scatter(0, index, x).transpose(0, 1).contiguous() for x in (k, v))
        return q, keys, values


def get_inputs():
    dtype = getattr(torch, DTYPE)
    angles = torch.randint(4096, (TOKENS, 1)) * 10_000 ** -torch.linspace(0, 1, DIM // 2 + 1)[:-1]
    packed = torch.randn(TOKENS, HEADS + 2 * KV_HEADS, DIM)
    return [packed.to(dtype), angles.cos().to(dtype), angles.sin().to(dtype), torch.randperm(TOKENS)]


def get_init_inputs():
    return [HEADS, KV_HEADS, DIM, DTYPE]
