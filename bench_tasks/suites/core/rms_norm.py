"""Normalisation by the root mean square, with a scale.

Llama, Mistral, Gemma and most language models since have it in the place of layer normalisation.
"""

import torch

FAMILY = "norm"
TOKENS, HIDDEN = 8192, 4096
DTYPE = "float32"
BACKWARD = False
TWIN = {"TOKENS": 192, "HIDDEN": 2048}
VARIANTS = {"half": {"DTYPE": "bfloat16"}, "backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(hidden, dtype=getattr(torch, DTYPE)))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(dim=-1, keepdim=True) + 1e-5) * self.weight


def get_inputs():
    # tokens of a residual stream differ in size; of size one they would be their own answer but for a rounding
    size = torch.linspace(0.5, 8.0, TOKENS)[:, None]
    return [(size * torch.randn(TOKENS, HIDDEN)).to(getattr(torch, DTYPE))]


def get_init_inputs():
    return [HIDDEN]
