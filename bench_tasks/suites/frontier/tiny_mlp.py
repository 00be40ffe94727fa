"""Multi-layer perceptron of width 64, small enough for its activations to stay on the chip.

Neural radiance caching (arXiv:2106.12372) and neural fields after it.
"""

import itertools

import torch

FAMILY = "matmul"
POINTS, INPUTS, WIDTH, HIDDEN, OUTPUTS = 262_144, 64, 64, 2, 16
DTYPE = "float16"
BACKWARD = False
TWIN = {"POINTS": 3600}
VARIANTS = {"backward": {"BACKWARD": True, "DTYPE": "bfloat16"}}


class Model(torch.nn.Module):
    def __init__(self, inputs, width, hidden, outputs, dtype):
        super().__init__()
        sizes = [inputs, *[width] * hidden, outputs]
        weights = (torch.randn(b, a) * (2.6 / a) ** 0.5 for a, b in itertools.pairwise(sizes))
        self.weights = torch.nn.ParameterList([w.to(getattr(torch, dtype)) for w in weights])

    def forward(self, x):
        """(POINTS, INPUTS) -> (POINTS, OUTPUTS)"""
        *hidden, last = self.weights
        for weight in hidden:
            x = torch.nn.functional.silu(x @ weight.T)
        return x @ last.T


def get_inputs():
    return [torch.randn(POINTS, INPUTS).to(getattr(torch, DTYPE))]


def get_init_inputs():
    return [INPUTS, WIDTH, HIDDEN, OUTPUTS, DTYPE]
