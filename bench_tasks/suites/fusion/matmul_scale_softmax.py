"""Scaled product of queries and keys, then softmax.

The attention map of models that hand it on (for distillation, for pooling); the scores need not be written.
"""

import torch

FAMILY = "attention"
HEADS, QUERIES, KEYS, WIDTH = 64, 512, 1024, 64
DTYPE = "float32"
BACKWARD = False
TWIN = {"HEADS": 4, "QUERIES": 128, "KEYS": 320}
VARIANTS = {"half": {"DTYPE": "bfloat16"}, "backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def forward(self, q, k):
        scores = torch.bmm(q, k.transpose(1, 2)) * q.shape[-1] ** -0.5
        return torch.softmax(scores, dim=-1)


def get_inputs():
    kind = getattr(torch, DTYPE)
    return [torch.randn(HEADS, QUERIES, WIDTH, dtype=kind), torch.randn(HEADS, KEYS, WIDTH, dtype=kind)]


def get_init_inputs():
    return []
