"""Prediction of a kernel machine: radial basis functions of all distances, times the coefficients.

Gaussian processes and support vector regression; the matrix of kernel values is far larger than what goes in and comes out.
"""

import torch
from torch import nn

FAMILY = "matmul"
POINTS, CENTRES, WIDTH, OUT = 16384, 4096, 48, 16
DTYPE = "float32"
TWIN = {"POINTS": 4096, "CENTRES": 320}
WORKLOADS = [
    {"distribution": "as_given", "seeds": 2},
    {"distribution": "normal", "seeds": 2},
    {"distribution": "uniform"},
    {"distribution": "tiny"},
    {"distribution": "constant"},
    {"distribution": "one_hot"},
    {"distribution": "zeros"},
]


class Model(nn.Module):
    def __init__(self, width, centres, out):
        super().__init__()
        self.log_scale = nn.Parameter(torch.linspace(-2.5, -0.5, width))
        self.coefficients = nn.Parameter(torch.randn(centres, out))

    def forward(self, x, centres):
        x, centres = x * self.log_scale.exp(), centres * self.log_scale.exp()
        squares = x.square().sum(1)[:, None] + centres.square().sum(1) - 2 * x @ centres.T
        return torch.exp(-0.5 * squares.clamp(min=0)) @ self.coefficients


def get_inputs():
    return [torch.randn(POINTS, WIDTH), torch.randn(CENTRES, WIDTH)]


def get_init_inputs():
    return [WIDTH, CENTRES, OUT]
