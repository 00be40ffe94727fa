"""Soft-margin triplet loss, one for each anchor.

Metric learning for re-identification (arXiv:1703.07737): softplus of the difference of two distances.
"""

import torch
import torch.nn.functional as F

FAMILY = "loss"
TRIPLETS, DIM = 65536, 192
DTYPE = "float32"
BACKWARD = False
TWIN = {"TRIPLETS": 1200, "DIM": 192}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def forward(self, anchor, positive, negative):
        near = (anchor - positive).square().sum(dim=-1).add(1e-6).sqrt()
        far = (anchor - negative).square().sum(dim=-1).add(1e-6).sqrt()
        return F.softplus(near - far)


def get_inputs():
    dtype = getattr(torch, DTYPE)
    anchor = torch.randn(TRIPLETS, DIM, dtype=dtype)
    return [anchor, anchor + torch.randn(TRIPLETS, DIM, dtype=dtype), torch.randn(TRIPLETS, DIM, dtype=dtype)]


def get_init_inputs():
    return []
