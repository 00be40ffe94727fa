"""Word, position and segment embeddings, added and normalised.

The first layer of BERT; in training its gradients are added up by word.
"""

import torch
from torch import nn

FAMILY = "indexing"
BATCH, LENGTH, WIDTH, WORDS = 32, 512, 768, 30522
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 4, "LENGTH": 80, "WIDTH": 192, "WORDS": 1531}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}


class Model(nn.Module):
    def __init__(self, words, length, width):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.words = nn.Embedding(words, width, dtype=kind)
        self.positions = nn.Parameter(torch.randn(length, width, dtype=kind))
        self.segments = nn.Embedding(2, width, dtype=kind)
        self.norm = nn.LayerNorm(width, dtype=kind)

    def forward(self, words, segments):
        return self.norm(self.words(words) + self.positions + self.segments(segments))


def get_inputs():
    words = torch.randint(0, WORDS, (BATCH, LENGTH))
    segments = torch.arange(LENGTH) >= torch.randint(1, LENGTH, (BATCH, 1))
    return [words, segments.long()]


def get_init_inputs():
    return [WORDS, LENGTH, WIDTH]
