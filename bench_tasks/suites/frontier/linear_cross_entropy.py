"""Output layer and cross entropy over a large vocabulary, the loss of every token.

Kernels that keep no logits save most of the memory of training (Cut Your Losses, arXiv:2411.09009).
"""

import torch

FAMILY = "loss"
TOKENS, WIDTH, VOCABULARY = 2048, 1024, 65_024
DTYPE = "float32"
BACKWARD = False
TWIN = {"TOKENS": 96, "WIDTH": 128, "VOCABULARY": 4_064}
VARIANTS = {
    "half": {"DTYPE": "bfloat16"},
    "backward": {"BACKWARD": True, "TWIN": {"TOKENS": 64, "WIDTH": 96, "VOCABULARY": 4_064}},
}


class Model(torch.nn.Module):
    def __init__(self, width, vocabulary, dtype):
        super().__init__()
        weight = torch.randn(vocabulary, width) * 3 * width**-0.5
        self.weight = torch.nn.Parameter(weight.to(getattr(torch, dtype)))

    def forward(self, hidden, labels):
        """(TOKENS, WIDTH), int64 (TOKENS,) -> (TOKENS,)"""
        return torch.nn.functional.cross_entropy(hidden @ self.weight.T, labels, reduction="none")


def get_inputs():
    return [torch.randn(TOKENS, WIDTH).to(getattr(torch, DTYPE)), torch.randint(VOCABULARY, (TOKENS,))]


def get_init_inputs():
    return [WIDTH, VOCABULARY, DTYPE]
