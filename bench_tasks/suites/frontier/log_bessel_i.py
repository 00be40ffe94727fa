"""Logarithm of the modified Bessel function of the first kind for real orders, by its power series.

Normaliser of von Mises-Fisher distributions. The function itself leaves the range of float32 (arXiv:2409.08729).
"""

import torch

FAMILY = "special"
COUNT = 4_000_000
TERMS = 64  # those beyond change nothing in float64 for arguments up to 40
DTYPE = "float32"
TWIN = {"COUNT": 100_000}
# defined for positive arguments only
WORKLOADS = [{"distribution": "as_given", "seeds": 5}]


class Model(torch.nn.Module):
    def __init__(self, terms):
        super().__init__()
        self.terms = terms

    def forward(self, order, x):
        """Twice (COUNT,): orders from 0 to 50, arguments from 0.1 to 40 -> (COUNT,)"""
        square = x * x
        series = square / (4 * self.terms * (self.terms + order)) + 1
        for k in range(self.terms - 1, 0, -1):  # from the last term: all are positive, nothing cancels
            series = square * series / (4 * k * (k + order)) + 1
        return order * torch.log(x / 2) - torch.lgamma(order + 1) + torch.log(series)


def get_inputs():
    dtype = getattr(torch, DTYPE)
    return [torch.rand(COUNT, dtype=dtype) * 50, torch.rand(COUNT, dtype=dtype) * 39.9 + 0.1]


def get_init_inputs():
    return [TERMS]
