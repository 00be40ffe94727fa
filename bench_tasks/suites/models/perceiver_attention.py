"""A few learned latents read from many inputs.

The entry of Perceiver, and the resampler of vision-language models: few queries, long keys, so that work has to be split along the keys.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "transformer"
BATCH, LENGTH, INPUT, LATENTS, WIDTH, HEADS = 4, 4096, 256, 128, 512, 8
DTYPE = "float32"
TWIN = {"BATCH": 2, "LENGTH": 1000, "INPUT": 96, "LATENTS": 40, "WIDTH": 128, "HEADS": 4}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(nn.Module):
    def __init__(self, inputs, latents, width, heads):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.heads = heads
        self.latents = nn.Parameter(torch.randn(latents, width, dtype=kind))
        self.norm = nn.LayerNorm(inputs, dtype=kind)
        self.query = nn.Parameter(torch.randn(width, width, dtype=kind) * 2.5 * width**-0.5)
        self.key = nn.Parameter(torch.randn(width, inputs, dtype=kind) * inputs**-0.5)
        self.value = nn.Parameter(torch.randn(width, inputs, dtype=kind) * 2 * inputs**-0.5)
        self.out = nn.Linear(width, width, dtype=kind)
        for name, weight in self.named_parameters():
            if name.endswith("bias"):  # as after training: one near zero would hardly show
                nn.init.normal_(weight, std=0.5)

    def forward(self, x):
        y = self.norm(x)
        q = F.linear(self.latents, self.query).expand(x.shape[0], -1, -1)
        q, k, v = (
            t.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for t in (q, F.linear(y, self.key), F.linear(y, self.value))
        )
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.latents + self.out(mixed)


def get_inputs():
    return [torch.randn(BATCH, LENGTH, INPUT, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [INPUT, LATENTS, WIDTH, HEADS]
