"""Rotary position embedding of queries and keys, from tables of cosines and sines, at given positions.

Rotates halves of every head by angles that grow with the position (RoFormer, arXiv:2104.09864).
"""

import torch

FAMILY = "positional"
TOKENS, HEADS, KV_HEADS, DIM, LONGEST = 8192, 32, 8, 128, 16_384
DTYPE = "float32"
BACKWARD = False
TWIN = {"TOKENS": 150, "HEADS": 10, "KV_HEADS": 3, "DIM": 64, "LONGEST": 400}
VARIANTS = {"half": {"DTYPE": "bfloat16"}, "backward": {"BACKWARD": True}}


def rotated(x, cosine, sine):
    """Of every head the first half with the second."""
    first, second = x.chunk(2, 2)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], 2)


class Model(torch.nn.Module):
    def forward(self, q, k, cosines, sines, positions):
        """(TOKENS, HEADS, DIM), (TOKENS, KV_HEADS, DIM), twice (LONGEST, DIM / 2), int64 (TOKENS,) -> as q and k"""
        cosine, sine = cosines[positions][:, None], sines[positions][:, None]
        return rotated(q, cosine, sine), rotated(k, cosine, sine)


def get_inputs():
    dtype = getattr(torch, DTYPE)
    angles = torch.arange(LONGEST)[:, None] * 10_000 ** -torch.linspace(0, 1, DIM // 2 + 1)[:-1]
    q, k = torch.randn(TOKENS, HEADS, DIM), torch.randn(TOKENS, KV_HEADS, DIM)
    found = [q, k, angles.cos(), angles.sin()]
    return [*(tensor.to(dtype) for tensor in found), torch.randint(LONGEST, (TOKENS,))]


def get_init_inputs():
    return []
