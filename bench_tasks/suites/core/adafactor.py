"""A step of Adafactor with a factored second moment.

One mean square for each row and each column in the place of one for each weight (arXiv:1804.04235).
"""

import torch

FAMILY = "optimiser"
ROWS, COLS = 2560, 4096
DTYPE = "float32"
TWIN = {"ROWS": 240, "COLS": 768}
# a mean of squares has no negative element, which those of another distribution have
WORKLOADS = [{"distribution": "as_given", "seeds": 6}, {"distribution": "zeros"}]


class Model(torch.nn.Module):
    def __init__(self, rate, beta):
        super().__init__()
        self.rate, self.beta = rate, beta

    def forward(self, weight, gradient, rows, columns):
        square = gradient.square() + 1e-30
        rows = self.beta * rows + (1 - self.beta) * square.mean(dim=1)
        columns = self.beta * columns + (1 - self.beta) * square.mean(dim=0)
        second = torch.outer(rows / rows.mean(), columns)
        return weight - self.rate * gradient * torch.rsqrt(second), rows, columns


def get_inputs():
    dtype = getattr(torch, DTYPE)
    weight, gradient = 0.05 * torch.randn(ROWS, COLS, dtype=dtype), 0.01 * torch.randn(ROWS, COLS, dtype=dtype)
    return [weight, gradient, *(1e-4 * (torch.rand(n, dtype=dtype) + 0.5) for n in (ROWS, COLS))]


def get_init_inputs():
    return [0.01, 0.95]
