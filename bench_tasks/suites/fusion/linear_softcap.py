"""Product with the vocabulary, softly capped logits.

The last layer of Gemma 2: 30 * tanh(x / 30) keeps every logit within 30.
"""

import torch
from torch import nn

FAMILY = "matmul"
ROWS, WIDTH, VOCABULARY = 512, 2304, 16000
DTYPE = "float32"
BACKWARD = False
TWIN = {"ROWS": 96, "WIDTH": 192, "VOCABULARY": 1000}
VARIANTS = {"half": {"DTYPE": "bfloat16"}, "backward": {"BACKWARD": True}}


class Model(nn.Module):
    def __init__(self, width, vocabulary, cap):
        super().__init__()
        self.cap = cap
        self.weight = nn.Parameter(torch.randn(vocabulary, width, dtype=getattr(torch, DTYPE)) * 20 * width**-0.5)

    def forward(self, x):
        return self.cap * torch.tanh(x @ self.weight.T / self.cap)


def get_inputs():
    return [torch.randn(ROWS, WIDTH, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [WIDTH, VOCABULARY, 30.0]
