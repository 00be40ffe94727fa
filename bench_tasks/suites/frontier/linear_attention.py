"""Causal linear attention with the feature map elu + 1.

Cost linear in the length if sums are carried along (Transformers are RNNs, arXiv:2006.16236); written out as a product here.
"""

import torch

FAMILY = "attention"
BATCH, HEADS, LENGTH, DIM = 4, 16, 2048, 64
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 2, "HEADS": 4, "LENGTH": 200, "DIM": 64}
VARIANTS = {"half": {"DTYPE": "bfloat16"}, "backward": {"BACKWARD": True}}
# where all values are one, the gradients of q and k are rounding errors
WORKLOADS = [
    {"distribution": "as_given", "seeds": 2},
    {"distribution": "normal"},
    {"distribution": "large"},
    {"distribution": "tiny"},
    {"distribution": "mixed"},
    {"distribution": "one_hot"},
]


class Model(torch.nn.Module):
    def forward(self, q, k, v):
        """Each (BATCH, HEADS, LENGTH, DIM)."""
        q, k = (torch.nn.functional.elu(x) + 1 for x in (q, k))
        weights = (q @ k.transpose(2, 3)).tril()
        return weights @ v / weights.sum(3, keepdim=True)


def get_inputs():
    size = (BATCH, HEADS, LENGTH, DIM)
    return [torch.randn(size).to(getattr(torch, DTYPE)) for _ in range(3)]


def get_init_inputs():
    return []
