"""Self-attention with T5's relative positions.

Scores are not scaled; a bias for each head is added by the bucket of the distance, fine near by and logarithmic far off.
"""

import torch
from torch import nn

FAMILY = "transformer"
BATCH, LENGTH, WIDTH, HEADS = 4, 512, 768, 12
DTYPE = "float32"
TWIN = {"BATCH": 2, "LENGTH": 84, "WIDTH": 224, "HEADS": 7}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(nn.Module):
    def __init__(self, width, heads, buckets, farthest):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.heads, near = heads, buckets // 4
        # distances from which on the next bucket begins, in one direction: 1, 2, ..., near, then by a constant factor
        far = [near * (farthest / near) ** (i / near) for i in range(1, near)]
        self.register_buffer("begins", torch.tensor([*range(1, near + 1), *(int(d) + 1 for d in far)]))
        self.norm = nn.RMSNorm(width, eps=1e-6, dtype=kind)
        weight = torch.randn(width, 3 * width, dtype=kind) * width**-0.5
        weight[:, :width] *= (width // heads) ** -0.5  # in place of the scores' scale
        self.project = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.randn(buckets, heads, dtype=kind) * 2)
        self.out = nn.Parameter(torch.randn(width, width, dtype=kind) * width**-0.5)

    def forward(self, x):
        q, k, v = (self.norm(x) @ self.project).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        place = torch.arange(x.shape[1], device=x.device)
        distance = place[None, :] - place[:, None]
        bucket = torch.bucketize(distance.abs(), self.begins, right=True)
        bucket = torch.where(distance > 0, bucket + self.bias.shape[0] // 2, bucket)
        scores = q @ k.transpose(2, 3) + self.bias[bucket].permute(2, 0, 1)
        return x + (torch.softmax(scores, dim=-1) @ v).transpose(1, 2).flatten(2) @ self.out


def get_inputs():
    return [torch.randn(BATCH, LENGTH, WIDTH, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [WIDTH, HEADS, 32, 128]
