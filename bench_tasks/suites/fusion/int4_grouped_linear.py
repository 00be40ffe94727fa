"""Linear layer whose weights are kept in 4 bits, with a scale and an offset for each group of inputs.

Decoding with AWQ or GPTQ weights: a few tokens, so that reading the weights is what takes time. Two neighbours share a byte, the
first in the low bits.
"""

import torch
from torch import nn

FAMILY = "matmul"
ROWS, IN, OUT, GROUP = 16, 4096, 11008, 128
DTYPE = "float32"
TWIN = {"IN": 512, "OUT": 1376}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(nn.Module):
    def __init__(self, features_in, features_out, group):
        super().__init__()
        kind, groups = getattr(torch, DTYPE), features_in // group
        self.register_buffer("packed", torch.randint(0, 256, (features_out, features_in // 2), dtype=torch.uint8))
        self.scale = nn.Parameter((torch.rand(features_out, groups, dtype=kind) + 0.5) / 4.6 * features_in**-0.5)
        self.offset = nn.Parameter(torch.rand(features_out, groups, dtype=kind) * 4 + 6)

    def forward(self, x):
        nibbles = torch.stack([self.packed & 15, self.packed >> 4], dim=-1).flatten(1)
        grouped = nibbles.unflatten(1, (self.scale.shape[1], -1)).to(x.dtype)
        weight = (grouped - self.offset.unsqueeze(-1)) * self.scale.unsqueeze(-1)
        return x @ weight.flatten(1).T


def get_inputs():
    return [torch.randn(ROWS, IN, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [IN, OUT, GROUP]
