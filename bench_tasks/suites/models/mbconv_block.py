"""Inverted residual with squeeze and excite.

The block of EfficientNet with norms folded into the convolutions: wide inside, narrow at both ends, a gate for each channel
of the wide part.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "convnet"
BATCH, CHANNELS, INNER, GATE, SIZE = 128, 40, 240, 10, 28
DTYPE = "float32"
TWIN = {"BATCH": 4, "CHANNELS": 16, "INNER": 96, "GATE": 4, "SIZE": 46}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(nn.Module):
    def __init__(self, channels, inner, gate):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.up = nn.Conv2d(channels, inner, 1, dtype=kind)
        self.depthwise = nn.Conv2d(inner, inner, 5, padding=2, groups=inner, dtype=kind)
        self.squeeze, self.excite = nn.Linear(inner, gate, dtype=kind), nn.Linear(gate, inner, dtype=kind)
        self.down = nn.Conv2d(inner, channels, 1, dtype=kind)
        nn.init.normal_(self.squeeze.weight, std=3 * inner**-0.5)
        nn.init.normal_(self.excite.weight, std=3 * gate**-0.5)
        for name, weight in self.named_parameters():
            if name.endswith("bias"):  # as after training: one near zero would hardly show
                nn.init.normal_(weight, std=0.5)

    def forward(self, x):
        y = F.silu(self.depthwise(F.silu(self.up(x))))
        gate = torch.sigmoid(self.excite(F.silu(self.squeeze(y.mean(dim=(2, 3))))))
        return x + self.down(y * gate[:, :, None, None])


def get_inputs():
    kind = getattr(torch, DTYPE)
    planes = torch.randn(BATCH, CHANNELS, 1, 1, dtype=kind)
    return [torch.randn(BATCH, CHANNELS, SIZE, SIZE, dtype=kind) + planes]


def get_init_inputs():
    return [CHANNELS, INNER, GATE]
