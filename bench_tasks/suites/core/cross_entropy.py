"""Cross entropy of each token over a vocabulary.

The loss of a language model before it is averaged, with padding left out by the label -100.
"""

import torch
import torch.nn.functional as F

FAMILY = "loss"
TOKENS, VOCABULARY = 2048, 32000
DTYPE = "float32"
BACKWARD = False
TWIN = {"TOKENS": 100, "VOCABULARY": 8000}
VARIANTS = {"half": {"DTYPE": "bfloat16"}, "backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def forward(self, logits, labels):
        return F.cross_entropy(logits, labels, reduction="none", ignore_index=-100)


def get_inputs():
    logits = 3 * torch.randn(TOKENS, VOCABULARY, dtype=getattr(torch, DTYPE))
    labels = torch.randint(0, VOCABULARY, (TOKENS,))
    return [logits, labels.masked_fill(torch.rand(TOKENS) < 0.1, -100)]


def get_init_inputs():
    return []
