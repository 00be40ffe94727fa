"""Layer normalisation of 1024 tokens with 768 features, with learned scale and shift (Ba et al. 2016)."""

import torch
from torch import nn

TOKENS = 1024
FEATURES = 768


class Model(nn.Module):
    """`nn.LayerNorm` over the features, with a scale and a shift that are not the initial ones and zeros."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        nn.init.normal_(self.norm.weight, mean=1.0, std=0.2)
        nn.init.normal_(self.norm.bias, std=0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x`: (TOKENS, FEATURES) float32; the result has the same shape."""
        return self.norm(x)


def get_inputs() -> list[torch.Tensor]:
    """One matrix of activations."""
    return [torch.randn(TOKENS, FEATURES)]


def get_init_inputs() -> list[object]:
    """The number of features."""
    return [FEATURES]
