"""Sum over the middle of three axes.

Pooling a sequence of token embeddings into one vector, as sentence encoders and deep sets do.
"""

import torch

FAMILY = "reduction"
BATCH, LENGTH, DIM = 96, 512, 768
DTYPE = "float32"
TWIN = {"BATCH": 12, "LENGTH": 128, "DIM": 384}


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.einsum("bld->bd", x)


def get_inputs():
    return [torch.randn(BATCH, LENGTH, DIM, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
