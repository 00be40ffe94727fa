"""Gated residual, then layer norm with scale and shift from the condition.

Between the two halves of a DiT block: gate, scale and shift are one vector for each image, the norm itself has no weights.
"""

import torch
import torch.nn.functional as F

FAMILY = "norm"
BATCH, LENGTH, WIDTH = 8, 1024, 1152
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 2, "LENGTH": 160, "WIDTH": 288}
VARIANTS = {"half": {"DTYPE": "bfloat16"}, "backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def forward(self, x, branch, gate, shift, scale):
        stream = x + gate[:, None] * branch
        normal = F.layer_norm(stream, stream.shape[-1:], eps=1e-6)
        return stream, normal * (1 + scale[:, None]) + shift[:, None]


def get_inputs():
    kind = getattr(torch, DTYPE)
    streams = [torch.randn(BATCH, LENGTH, WIDTH, dtype=kind) for _ in range(2)]
    return streams + [torch.randn(BATCH, WIDTH, dtype=kind) for _ in range(3)]


def get_init_inputs():
    return []
