"""Layer normalisation with scale and shift.

Twice in every layer of GPT-2, BERT and ViT.
"""

import torch

FAMILY = "norm"
TOKENS, HIDDEN = 16384, 1280
DTYPE = "float32"
BACKWARD = False
TWIN = {"TOKENS": 300, "HIDDEN": 1280}
VARIANTS = {"half": {"DTYPE": "bfloat16"}, "backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.norm = torch.nn.LayerNorm(hidden, dtype=getattr(torch, DTYPE))

    def forward(self, x):
        return self.norm(x)


def get_inputs():
    return [torch.randn(TOKENS, HIDDEN, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [HIDDEN]
