"""Logarithms of the modified Bessel functions of the second kind, orders 0 and 1, without underflow.

For Matern kernels and generalised inverse Gaussian densities (arXiv:2409.08729).
"""

import torch

FAMILY = "special"
COUNT = 8_000_000
DTYPE = "float32"
TWIN = {"COUNT": 88_000}
# defined for positive arguments only
WORKLOADS = [{"distribution": "as_given", "seeds": 6}]


class Model(torch.nn.Module):
    def forward(self, x):
        """(COUNT,), from 0.001 to 1000 -> twice (COUNT,)"""
        k0 = torch.special.scaled_modified_bessel_k0(x)  # times exp(x)
        k1 = torch.special.scaled_modified_bessel_k1(x)
        return torch.log(k0) - x, torch.log(k1) - x


def get_inputs():
    return [(10 ** (torch.rand(COUNT, dtype=torch.float64) * 6 - 3)).to(getattr(torch, DTYPE))]


def get_init_inputs():
    return []
