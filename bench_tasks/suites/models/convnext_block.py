"""ConvNeXt block: wide depthwise convolution, layer norm over channels, feed-forward with a learned scale, residual.

Memory-bound and compute-bound parts in turn; the norm wants channels last, the convolution does not mind.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "convnet"
BATCH, CHANNELS, SIZE = 16, 96, 56
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 2, "CHANNELS": 24, "SIZE": 52}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}


class Model(nn.Module):
    def __init__(self, channels):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels, dtype=kind)
        self.norm = nn.LayerNorm(channels, eps=1e-6, dtype=kind)
        self.up = nn.Linear(channels, 4 * channels, dtype=kind)
        self.down = nn.Linear(4 * channels, channels, dtype=kind)
        self.scale = nn.Parameter(torch.rand(channels, dtype=kind) + 0.5)
        for name, weight in self.named_parameters():
            if name.endswith("bias"):  # as after training: one near zero would hardly show
                nn.init.normal_(weight, std=0.5)

    def forward(self, x):
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.scale * self.down(F.gelu(self.up(y)))
        return x + y.permute(0, 3, 1, 2)


def get_inputs():
    return [torch.randn(BATCH, CHANNELS, SIZE, SIZE, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [CHANNELS]
