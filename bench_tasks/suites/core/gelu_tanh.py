"""GELU in its tanh form.

The activation between the two linear layers of GPT-2 and of T5 1.1.
"""

import torch
import torch.nn.functional as F

FAMILY = "pointwise"
TOKENS, HIDDEN = 8192, 3072
DTYPE = "float32"
BACKWARD = False
TWIN = {"TOKENS": 192, "HIDDEN": 1536}
VARIANTS = {"half": {"DTYPE": "bfloat16"}, "backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def forward(self, x):
        return F.gelu(x, approximate="tanh")


def get_inputs():
    return [torch.randn(TOKENS, HIDDEN, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
