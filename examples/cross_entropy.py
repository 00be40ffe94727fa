"""Cross-entropy loss of 1024 tokens over a vocabulary of 2048, averaged to one number."""

import torch
from torch import nn

TOKENS = 1024
VOCABULARY = 2048


class Model(nn.Module):
    """Mean over tokens of ``logsumexp(logits) - logits[target]``."""

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """`logits`: (TOKENS, VOCABULARY) float32; `targets`: (TOKENS,) int64 class numbers; the result is a scalar."""
        return nn.functional.cross_entropy(logits, targets)


def get_inputs() -> list[torch.Tensor]:
    """Logits, and the class number each token should have."""
    return [torch.randn(TOKENS, VOCABULARY), torch.randint(0, VOCABULARY, (TOKENS,))]


def get_init_inputs() -> list[object]:
    """`Model` takes no arguments."""
    return []
