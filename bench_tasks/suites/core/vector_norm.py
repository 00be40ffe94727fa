"""Euclidean length of each vector.

Norms of an index of embeddings, kept beside it for cosine similarity search.
"""

import torch

FAMILY = "reduction"
VECTORS, DIM = 262144, 96
DTYPE = "float32"
TWIN = {"VECTORS": 6000, "DIM": 96}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.linalg.vector_norm(x, dim=-1)


def get_inputs():
    return [torch.randn(VECTORS, DIM, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
