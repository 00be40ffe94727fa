"""Linear layer with a low-rank adapter beside it.

Fine-tuning with LoRA: the large weight is frozen, so that backward asks for the input's gradient and the adapter's alone.
"""

import torch
from torch import nn

FAMILY = "matmul"
ROWS, IN, OUT, RANK = 4096, 2048, 2048, 16
DTYPE = "float32"
BACKWARD = False
TWIN = {"ROWS": 128, "IN": 256, "OUT": 640}
VARIANTS = {"half": {"DTYPE": "bfloat16"}, "backward": {"BACKWARD": True}}


class Model(nn.Module):
    def __init__(self, features_in, features_out, rank, alpha):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.register_buffer("weight", torch.randn(features_out, features_in, dtype=kind) * features_in**-0.5)
        self.down = nn.Parameter(torch.randn(rank, features_in, dtype=kind) * features_in**-0.5)
        self.up = nn.Parameter(torch.randn(features_out, rank, dtype=kind) * rank**-0.5)
        self.scale = alpha / rank

    def forward(self, x):
        return x @ self.weight.T + self.scale * (x @ self.down.T @ self.up.T)


def get_inputs():
    return [torch.randn(ROWS, IN, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [IN, OUT, RANK, 32]
