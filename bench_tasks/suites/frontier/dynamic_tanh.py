"""Dynamic tanh: what takes the place of layer norm in transformers without normalisation.

A learned slope inside, a gain and a shift for each channel outside (arXiv:2503.10622).
"""

import torch

FAMILY = "norm"
TOKENS, WIDTH = 8192, 4096
DTYPE = "float32"
BACKWARD = False
TWIN = {"TOKENS": 210, "WIDTH": 768}
VARIANTS = {"half": {"DTYPE": "bfloat16"}, "backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def __init__(self, width, dtype):
        super().__init__()
        dtype = getattr(torch, dtype)
        self.slope = torch.nn.Parameter(torch.full((1,), 0.5, dtype=dtype))
        self.gain = torch.nn.Parameter(torch.ones(width, dtype=dtype))
        self.shift = torch.nn.Parameter(torch.zeros(width, dtype=dtype))

    def forward(self, x):
        """(TOKENS, WIDTH)"""
        return torch.tanh(self.slope * x) * self.gain + self.shift


def get_inputs():
    return [torch.randn(TOKENS, WIDTH).to(getattr(torch, DTYPE))]


def get_init_inputs():
    return [WIDTH, DTYPE]
