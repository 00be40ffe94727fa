"""The 50 largest values of each row, in descending order.

Top-k sampling: the last of them is the threshold under which logits are cut.
"""

import torch

FAMILY = "sorting"
ROWS, VOCABULARY, KEPT = 1024, 32000, 50
DTYPE = "float32"
TWIN = {"ROWS": 60, "VOCABULARY": 8000}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(torch.nn.Module):
    def __init__(self, kept):
        super().__init__()
        self.kept = kept

    def forward(self, logits):
        return torch.topk(logits, self.kept, dim=-1).values


def get_inputs():
    return [torch.randn(ROWS, VOCABULARY, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [KEPT]
