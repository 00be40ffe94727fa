"""Running product of gates over time, as a sum of their logarithms.

The decay that gated linear attention and Mamba-2 apply between two places (arXiv:2312.06635).
"""

import torch
import torch.nn.functional as F

FAMILY = "scan"
BATCH, LENGTH, CHANNELS = 8, 2048, 1024
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 2, "LENGTH": 384, "CHANNELS": 320}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def forward(self, gates):
        return torch.cumsum(F.logsigmoid(gates), dim=1)


def get_inputs():
    return [torch.randn(BATCH, LENGTH, CHANNELS, dtype=getattr(torch, DTYPE)) + 2.0]


def get_init_inputs():
    return []
