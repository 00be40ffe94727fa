"""A step of AdamW.

Decoupled weight decay (arXiv:1711.05101); the hundredth step, so that the corrections of the bias count.
"""

import torch

FAMILY = "optimiser"
ROWS, COLS = 2560, 4096
STEP = 100
DTYPE = "float32"
TWIN = {"ROWS": 160, "COLS": 768}
# a mean of squares has no negative element, which those of another distribution have
WORKLOADS = [{"distribution": "as_given", "seeds": 6}, {"distribution": "zeros"}]


class Model(torch.nn.Module):
    def __init__(self, rate, beta1, beta2, decay):
        super().__init__()
        self.rate, self.beta1, self.beta2, self.decay = rate, beta1, beta2, decay

    def forward(self, weight, gradient, mean, square):
        mean = self.beta1 * mean + (1 - self.beta1) * gradient
        square = self.beta2 * square + (1 - self.beta2) * gradient * gradient
        direction = mean / (1 - self.beta1**STEP) / ((square / (1 - self.beta2**STEP)).sqrt() + 1e-8)
        return weight * (1 - self.rate * self.decay) - self.rate * direction, mean, square


def get_inputs():
    dtype = getattr(torch, DTYPE)
    weight, gradient, mean, root = (torch.randn(ROWS, COLS, dtype=dtype) for _ in range(4))
    return [0.05 * weight, 0.01 * gradient, 0.004 * mean, (0.01 * root).square()]


def get_init_inputs():
    return [1e-3, 0.9, 0.999, 0.1]
