"""A step of gradient descent with Nesterov's momentum and weight decay.

How convolutional networks are still trained.
"""

import torch

FAMILY = "optimiser"
ROWS, COLS = 2560, 4096
DTYPE = "float32"
TWIN = {"ROWS": 160, "COLS": 768}


class Model(torch.nn.Module):
    def __init__(self, rate, momentum, decay):
        super().__init__()
        self.rate, self.momentum, self.decay = rate, momentum, decay

    def forward(self, weight, gradient, velocity):
        gradient = gradient + self.decay * weight
        velocity = self.momentum * velocity + gradient
        return weight - self.rate * (gradient + self.momentum * velocity), velocity


def get_inputs():
    dtype = getattr(torch, DTYPE)
    return [scale * torch.randn(ROWS, COLS, dtype=dtype) for scale in (0.05, 0.01, 0.03)]


def get_init_inputs():
    return [0.1, 0.9, 5e-4]
