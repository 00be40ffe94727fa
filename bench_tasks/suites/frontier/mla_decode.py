"""One decoding step of multi-head latent attention.

All heads read one compressed cache, whose latent part is both keys and values (DeepSeek-V2, arXiv:2405.04434).
"""

import torch

FAMILY = "attention"
BATCH, HEADS, LENGTH = 32, 64, 1500
LATENT, ROTARY = 512, 64
DTYPE = "bfloat16"
TWIN = {"BATCH": 3, "HEADS": 16, "LENGTH": 300, "LATENT": 256, "ROTARY": 32}


class Model(torch.nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, q_latent, q_rotary, cache):
        """(BATCH, HEADS, LATENT), (BATCH, HEADS, ROTARY), (BATCH, LENGTH, LATENT + ROTARY) -> as q_latent"""
        latent, rotary = cache.split([q_latent.shape[2], q_rotary.shape[2]], 2)
        scores = (q_latent * self.scale) @ latent.transpose(1, 2)
        scores = scores + (q_rotary * self.scale) @ rotary.transpose(1, 2)
        return torch.softmax(scores, -1) @ latent


def get_inputs():
    dtype = getattr(torch, DTYPE)
    sizes = (BATCH, HEADS, LATENT), (BATCH, HEADS, ROTARY), (BATCH, LENGTH, LATENT + ROTARY)
    return [torch.randn(size).to(dtype) for size in sizes]


def get_init_inputs():
    return [(LATENT + ROTARY) ** -0.5]
