"""Largest cosine similarity of each token of one half with those of the other half.

Which tokens of an image are merged (Token Merging, arXiv:2210.09461), decided without keeping the similarities.
"""

import torch

FAMILY = "vision"
BATCH, TOKENS, DIM = 64, 1600, 64
DTYPE = "float32"
TWIN = {"BATCH": 6, "TOKENS": 700}


class Model(torch.nn.Module):
    def forward(self, keys):
        """(BATCH, TOKENS, DIM) -> (BATCH, TOKENS / 2)"""
        units = keys * torch.rsqrt(keys.square().sum(2, keepdim=True) + 1e-6)
        return (units[:, ::2] @ units[:, 1::2].transpose(1, 2)).amax(2)


def get_inputs():
    dtype = getattr(torch, DTYPE)
    common = torch.randn(BATCH, 1, DIM, dtype=dtype) * torch.rand(BATCH, TOKENS, 1, dtype=dtype) * 2
    return [common + torch.randn(BATCH, TOKENS, DIM, dtype=dtype)]


def get_init_inputs():
    return []
