"""The best experts of each token, and their weights.

The router of a sparse mixture of experts: the largest logits in descending order, softmax over those alone. Inputs have no ties.
"""

import torch

FAMILY = "indexing"
TOKENS, EXPERTS, CHOSEN = 65536, 128, 8
DTYPE = "float32"
TWIN = {"TOKENS": 2048}
VARIANTS = {"few_experts": {"TOKENS": 524288, "EXPERTS": 8, "CHOSEN": 2, "TWIN": {"TOKENS": 24000}}}
WORKLOADS = [
    {"distribution": "as_given", "seeds": 2},
    {"distribution": "normal", "seeds": 2},
    {"distribution": "large"},
    {"distribution": "tiny"},
    {"distribution": "mixed"},
    {"distribution": "sorted"},
]


class Model(torch.nn.Module):
    def __init__(self, chosen):
        super().__init__()
        self.chosen = chosen

    def forward(self, logits):
        values, experts = logits.topk(self.chosen, dim=-1)
        return torch.softmax(values, dim=-1), experts


def get_inputs():
    return [torch.randn(TOKENS, EXPERTS, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [CHOSEN]
