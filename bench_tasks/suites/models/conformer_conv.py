"""Convolution module of a Conformer: norm, gated pointwise, long depthwise, scale and shift, SiLU, pointwise.

Speech recognition, once in each layer beside the attention; scale and shift are what a batch norm of a trained model comes to.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "convnet"
BATCH, LENGTH, WIDTH, TAPS = 8, 1000, 512, 31
DTYPE = "float32"
TWIN = {"BATCH": 2, "LENGTH": 640, "WIDTH": 96}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(nn.Module):
    def __init__(self, width, taps):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.norm = nn.LayerNorm(width, dtype=kind)
        self.enter = nn.Linear(width, 2 * width, dtype=kind)
        self.depthwise = nn.Conv1d(width, width, taps, padding=taps // 2, groups=width, bias=False, dtype=kind)
        self.gamma = nn.Parameter(torch.rand(width, dtype=kind) + 0.5)
        self.beta = nn.Parameter(torch.randn(width, dtype=kind))
        nn.init.normal_(self.depthwise.weight, std=2 * taps**-0.5)
        self.leave = nn.Linear(width, width, dtype=kind)
        for name, weight in self.named_parameters():
            if name.endswith("bias"):  # as after training: one near zero would hardly show
                nn.init.normal_(weight)

    def forward(self, x):
        y = F.glu(self.enter(self.norm(x)), dim=-1).transpose(1, 2)
        y = F.silu(self.depthwise(y).transpose(1, 2) * self.gamma + self.beta)
        return x + self.leave(y)


def get_inputs():
    return [torch.randn(BATCH, LENGTH, WIDTH, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [WIDTH, TAPS]
