"""Layer of a Kolmogorov-Arnold network: a cubic spline on every edge, beside a plain one through SiLU.

KAN (arXiv:2404.19756), on a uniform grid from -1 to 1.
"""

import torch

FAMILY = "matmul"
BATCH, INPUTS, OUTPUTS, PIECES = 8192, 256, 256, 8
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 560, "INPUTS": 160, "OUTPUTS": 80}
VARIANTS = {"backward": {"BACKWARD": True, "TWIN": {"BATCH": 640, "INPUTS": 128, "OUTPUTS": 32}}}


class Model(torch.nn.Module):
    def __init__(self, inputs, outputs, pieces):
        super().__init__()
        self.pieces = pieces
        self.splines = torch.nn.Parameter(torch.randn(outputs, inputs, pieces + 3) * inputs**-0.5)
        self.plain = torch.nn.Parameter(torch.randn(outputs, inputs) * inputs**-0.5)

    def forward(self, x):
        """(BATCH, INPUTS) -> (BATCH, OUTPUTS)"""
        centre = torch.arange(-1, self.pieces + 2, device=x.device)
        away = ((x[..., None] + 1) * (self.pieces / 2) - centre).abs()
        near = 2 / 3 - away * away * (1 - away / 2)
        rest = torch.relu(2 - away)
        basis = torch.where(away < 1, near, rest * rest * rest / 6)
        return basis.flatten(1) @ self.splines.flatten(1).T + torch.nn.functional.silu(x) @ self.plain.T


def get_inputs():
    return [torch.randn(BATCH, INPUTS, dtype=getattr(torch, DTYPE)) * 0.5]


def get_init_inputs():
    return [INPUTS, OUTPUTS, PIECES]
