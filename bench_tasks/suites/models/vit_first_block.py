"""Images to patches to tokens, and the first attention of a vision transformer.

A convolution whose stride is its size, a class token, learned positions, a pre-norm attention over all tokens of an image.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "transformer"
BATCH, SIZE, PATCH, WIDTH, HEADS = 32, 224, 16, 384, 6
DTYPE = "float32"
TWIN = {"BATCH": 4, "SIZE": 96, "WIDTH": 128, "HEADS": 4}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(nn.Module):
    def __init__(self, size, patch, width, heads):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.heads = heads
        self.embed = nn.Conv2d(3, width, patch, stride=patch, dtype=kind)
        self.first = nn.Parameter(torch.randn(1, 1, width, dtype=kind))
        self.places = nn.Parameter(torch.randn((size // patch) ** 2 + 1, width, dtype=kind) * 0.5)
        self.norm = nn.LayerNorm(width, dtype=kind)
        self.project = nn.Parameter(torch.randn(width, 3 * width, dtype=kind) * 1.5 * width**-0.5)
        self.out = nn.Linear(width, width, dtype=kind)
        for name, weight in self.named_parameters():
            if name.endswith("bias"):  # as after training: one near zero would hardly show
                nn.init.normal_(weight, std=0.5)

    def forward(self, images):
        patches = self.embed(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(images.shape[0], -1, -1), patches], dim=1) + self.places
        q, k, v = (self.norm(x) @ self.project).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def get_inputs():
    return [torch.randn(BATCH, 3, SIZE, SIZE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [SIZE, PATCH, WIDTH, HEADS]
