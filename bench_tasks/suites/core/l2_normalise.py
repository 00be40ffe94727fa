"""Rows divided by their Euclidean length.

Embeddings before a contrastive loss or a cosine search (CLIP, sentence encoders).
"""

import torch
import torch.nn.functional as F

FAMILY = "norm"
VECTORS, DIM = 32768, 768
DTYPE = "float32"
BACKWARD = False
TWIN = {"VECTORS": 500, "DIM": 768}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def forward(self, x):
        return F.normalize(x, dim=-1, eps=1e-6)


def get_inputs():
    return [torch.randn(VECTORS, DIM, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
