"""A step of RMSProp, centred.

Reinforcement learning (IMPALA, DQN): the gradient over its running standard deviation.
"""

import torch

FAMILY = "optimiser"
ROWS, COLS = 2560, 4096
DTYPE = "float32"
TWIN = {"ROWS": 160, "COLS": 768}
# a mean of squares is no less than the square of the mean, which those of another distribution may be
WORKLOADS = [{"distribution": "as_given", "seeds": 6}, {"distribution": "zeros"}]


class Model(torch.nn.Module):
    def __init__(self, rate, beta):
        super().__init__()
        self.rate, self.beta = rate, beta

    def forward(self, weight, gradient, mean, square):
        mean = self.beta * mean + (1 - self.beta) * gradient
        square = self.beta * square + (1 - self.beta) * gradient * gradient
        return weight - self.rate * gradient * torch.rsqrt(square - mean * mean + 1e-6), mean, square


def get_inputs():
    dtype = getattr(torch, DTYPE)
    weight, gradient, mean = (scale * torch.randn(ROWS, COLS, dtype=dtype) for scale in (0.05, 0.01, 0.004))
    return [weight, gradient, mean, mean.square() + (torch.rand(ROWS, COLS, dtype=dtype) + 0.2) * 1e-4]


def get_init_inputs():
    return [0.01, 0.95]
