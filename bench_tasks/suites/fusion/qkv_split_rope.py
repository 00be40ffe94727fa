"""Packed queries, keys and values: split into heads, the first two rotated by their positions.

What stands between the projection and the attention of most language models. Positions differ by sequence, as after padding.
"""

import torch
import torch.nn.functional as F

FAMILY = "attention"
BATCH, LENGTH, HEADS, WIDTH, POSITIONS = 2, 2048, 16, 128, 4096
DTYPE = "float32"
BACKWARD = False
TWIN = {"LENGTH": 96, "HEADS": 4, "WIDTH": 64, "POSITIONS": 256}
VARIANTS = {"half": {"DTYPE": "bfloat16"}, "backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def __init__(self, heads):
        super().__init__()
        self.heads = heads

    def forward(self, packed, cosine, sine, positions):
        q, k, v = packed.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        c, s = (F.embedding(positions, table).unsqueeze(1) for table in (cosine, sine))

        def rotate(x):
            first, second = x.chunk(2, dim=-1)
            return torch.cat([first * c - second * s, second * c + first * s], dim=-1)

        return rotate(q), rotate(k), v.contiguous()


def get_inputs():
    kind = getattr(torch, DTYPE)
    steps = 10000.0 ** -(torch.arange(WIDTH // 2) / (WIDTH // 2))
    angles = torch.arange(POSITIONS)[:, None] * steps
    first = torch.randint(0, POSITIONS - LENGTH + 1, (BATCH, 1))
    packed = torch.randn(BATCH, LENGTH, 3 * HEADS * WIDTH, dtype=kind)
    return [packed, angles.cos().to(kind), angles.sin().to(kind), first + torch.arange(LENGTH)]


def get_init_inputs():
    return [HEADS]
