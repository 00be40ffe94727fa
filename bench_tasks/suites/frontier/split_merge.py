"""Merging the attention outputs of separate pieces of a cache by their log-sum-exps.

The last step of decoding in splits (Flash-Decoding) and of shared-prefix cascades (FlashInfer, arXiv:2501.01005).
"""

import torch

FAMILY = "attention"
SPLITS, ROWS, DIM = 12, 8192, 128
DTYPE = "float32"
TWIN = {"SPLITS": 5, "ROWS": 700, "DIM": 64}
VARIANTS = {"half": {"DTYPE": "float16"}}


class Model(torch.nn.Module):
    def forward(self, outputs, sums):
        """(SPLITS, ROWS, DIM), each softmax over its piece; float32 (SPLITS, ROWS) -> (ROWS, DIM), float32 (ROWS,)"""
        total = torch.logsumexp(sums, 0)
        shares = torch.exp(sums - total)[..., None]
        return (outputs * shares).sum(0).to(outputs.dtype), total


def get_inputs():
    return [torch.randn(SPLITS, ROWS, DIM).to(getattr(torch, DTYPE)), torch.randn(SPLITS, ROWS) * 2 + 6]


def get_init_inputs():
    return []
