"""Negative log-likelihood of angles under von Mises distributions, with the logarithm of the Bessel function I0.

Predicting directions and dihedral angles with a confidence (arXiv:2409.08729 treats the function).
"""

import torch

FAMILY = "special"
COUNT = 6_000_000
DTYPE = "float32"
BACKWARD = False
TWIN = {"COUNT": 100_000}
VARIANTS = {"backward": {"BACKWARD": True}}
# angles far beyond one turn have no digits left in float32
WORKLOADS = [
    {"distribution": "as_given", "seeds": 3},
    {"distribution": "normal"},
    {"distribution": "uniform"},
    {"distribution": "tiny"},
    {"distribution": "constant"},
]


class Model(torch.nn.Module):
    def forward(self, angle, mean, raw):
        """Three (COUNT,); the concentration is softplus(raw) -> (COUNT,)"""
        concentration = torch.nn.functional.softplus(raw)
        log_i0 = torch.log(torch.special.i0e(concentration)) + concentration
        return log_i0 - concentration * torch.cos(angle - mean)


def get_inputs():
    dtype = getattr(torch, DTYPE)
    angle, mean, raw = (torch.randn(COUNT, dtype=dtype) for _ in range(3))
    return [angle * 2, mean * 2, raw * 6]


def get_init_inputs():
    return []
