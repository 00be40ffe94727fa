"""Scales gradients so that their common length is at most 0.5.

Before the optimiser's step in nearly all training: one length over tensors of several shapes, which is given too.
"""

import torch

FAMILY = "optimiser"
HIDDEN, WIDE, VOCABULARY = 1024, 4096, 6000
DTYPE = "float32"
TWIN = {"HIDDEN": 192, "WIDE": 768, "VOCABULARY": 600}


class Model(torch.nn.Module):
    def __init__(self, largest):
        super().__init__()
        self.largest = largest

    def forward(self, embedding, up, down, bias):
        gradients = (embedding, up, down, bias)
        length = torch.stack([g.square().sum() for g in gradients]).sum().sqrt()
        factor = (self.largest / (length + 1e-6)).clamp(max=1.0)
        return [length, *(g * factor for g in gradients)]


def get_inputs():
    dtype = getattr(torch, DTYPE)
    shapes = [(VOCABULARY, HIDDEN), (WIDE, HIDDEN), (HIDDEN, WIDE), (WIDE,)]
    return [0.01 * torch.randn(*shape, dtype=dtype) for shape in shapes]


def get_init_inputs():
    return [0.5]
