"""Place of the largest logit; of several equal ones, the first.

Greedy decoding over GPT-2's vocabulary.
"""

import torch

FAMILY = "reduction"
TOKENS, VOCABULARY = 512, 50257
DTYPE = "float32"
TWIN = {"TOKENS": 40, "VOCABULARY": 12565}
VARIANTS = {"half": {"DTYPE": "bfloat16"}}


class Model(torch.nn.Module):
    def forward(self, logits):
        return torch.argmax(logits, dim=-1)


def get_inputs():
    return [torch.randn(TOKENS, VOCABULARY, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
