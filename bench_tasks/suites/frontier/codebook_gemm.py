"""Weights as sums of two codebook vectors of eight numbers, times the activations of a small batch.

Additive quantisation at 2 bits a weight (AQLM, arXiv:2401.06118).
"""

import torch

FAMILY = "quantised"
M, K, N = 16, 8192, 8192
DTYPE = "float16"
TWIN = {"M": 16, "K": 1024, "N": 1024}
# products of larger draws pass 65,504
WORKLOADS = [
    {"distribution": "as_given", "seeds": 3},
    {"distribution": "normal"},
    {"distribution": "uniform"},
    {"distribution": "one_hot"},
]


class Model(torch.nn.Module):
    def forward(self, x, codes, books, scale):
        """(M, K), uint8 (N, K/8, 2), (2, 256, 8), (N,) -> (M, N)"""
        codes = codes.long()
        weight = books[0][codes[..., 0]] + books[1][codes[..., 1]]
        return (x @ weight.flatten(1).T) * scale


def get_inputs():
    dtype = getattr(torch, DTYPE)
    codes = torch.randint(256, (N, K // 8, 2)).to(torch.uint8)
    scale = torch.rand(N) * 0.05 + 0.01
    return [torch.randn(M, K).to(dtype), codes, torch.randn(2, 256, 8).to(dtype), scale.to(dtype)]


def get_init_inputs():
    return []
