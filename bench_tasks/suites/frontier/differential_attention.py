"""The difference of two softmax attentions, then a norm over each head.

What both attend to cancels out (Differential Transformer, arXiv:2410.05258).
"""

import math

import torch

FAMILY = "attention"
BATCH, HEADS, LENGTH, DIM = 4, 12, 1024, 64
DTYPE = "float16"
BACKWARD = False
TWIN = {"BATCH": 2, "HEADS": 3, "LENGTH": 120}
VARIANTS = {"backward": {"BACKWARD": True, "DTYPE": "bfloat16"}}


class Model(torch.nn.Module):
    def __init__(self, heads, dim, dtype):
        super().__init__()
        self.mix = torch.nn.Parameter((torch.rand(heads, 1, 1) * 0.5 + 0.3).to(getattr(torch, dtype)))
        self.gain = torch.nn.Parameter(torch.ones(2 * dim, dtype=getattr(torch, dtype)))

    def forward(self, q, k, v):
        """q and k (2, BATCH, HEADS, LENGTH, DIM), v (BATCH, HEADS, LENGTH, 2 * DIM) -> as v"""
        shares = torch.softmax(q / math.sqrt(q.shape[4]) @ k.transpose(3, 4), -1)
        out = (shares[0] - self.mix * shares[1]) @ v
        return torch.nn.functional.rms_norm(out, self.gain.shape, self.gain, eps=1e-5)


def get_inputs():
    dtype, pair = getattr(torch, DTYPE), (2, BATCH, HEADS, LENGTH, DIM)
    value = torch.randn(BATCH, HEADS, LENGTH, 2 * DIM)
    return [torch.randn(pair).to(dtype), torch.randn(pair).to(dtype), value.to(dtype)]


def get_init_inputs():
    return [HEADS, DIM, DTYPE]
