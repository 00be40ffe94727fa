"""Rounds each row to int8 by its largest magnitude.

Activations before an int8 matrix product (LLM.int8, SmoothQuant). An int8 must be the reference's own, so the
arithmetic is part of the task: one division for the scale, one for each element, rounding to even.
"""

import torch

FAMILY = "pointwise"
TOKENS, HIDDEN = 8192, 2560
DTYPE = "float32"
TWIN = {"TOKENS": 288, "HIDDEN": 1280}


class Model(torch.nn.Module):
    def forward(self, x):
        scale = x.abs().amax(dim=-1, keepdim=True).clamp(min=1e-5) / 127.0
        return torch.round(x / scale).to(torch.int8), scale


def get_inputs():
    return [torch.randn(TOKENS, HIDDEN, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
