"""A step of Lion.

The sign of an interpolated momentum (arXiv:2302.06675).
"""

import torch

FAMILY = "optimiser"
ROWS, COLS = 2560, 4096
DTYPE = "float32"
TWIN = {"ROWS": 160, "COLS": 768}
# other distributions have sums so near zero that rounding decides their sign
WORKLOADS = [{"distribution": "as_given", "seeds": 6}, {"distribution": "zeros"}]


class Model(torch.nn.Module):
    def __init__(self, rate, beta1, beta2, decay):
        super().__init__()
        self.rate, self.beta1, self.beta2, self.decay = rate, beta1, beta2, decay

    def forward(self, weight, gradient, momentum):
        direction = torch.sign(self.beta1 * momentum + (1 - self.beta1) * gradient)
        momentum = self.beta2 * momentum + (1 - self.beta2) * gradient
        return weight * (1 - self.rate * self.decay) - self.rate * direction, momentum


def get_inputs():
    dtype = getattr(torch, DTYPE)
    weight, gradient, momentum = (torch.randn(ROWS, COLS, dtype=dtype) for _ in range(3))
    # on grids of which none meets another: 0.9 of the one plus 0.1 of the other is at least 1e-4 away from zero
    return [0.05 * weight, (256 * gradient).round() / 256 + 2**-10, (256 * momentum).round() / 256]


def get_init_inputs():
    return [3e-4, 0.9, 0.99, 1.0]
