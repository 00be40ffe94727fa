"""Rows of a table of embeddings by token.

The first layer of every language model; its gradient adds up what came for the same token.
"""

import torch

FAMILY = "indexing"
TOKENS, VOCABULARY, DIM = 32768, 32000, 768
DTYPE = "float32"
BACKWARD = False
TWIN = {"TOKENS": 1200, "VOCABULARY": 1000, "DIM": 192}
VARIANTS = {"half": {"DTYPE": "bfloat16"}, "backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def __init__(self, vocabulary, dim):
        super().__init__()
        self.table = torch.nn.Embedding(vocabulary, dim, dtype=getattr(torch, DTYPE))

    def forward(self, tokens):
        return self.table(tokens)


def get_inputs():
    frequency = 1.0 / (torch.arange(VOCABULARY) + 10.0)
    return [torch.multinomial(frequency, TOKENS, replacement=True)]


def get_init_inputs():
    return [VOCABULARY, DIM]
