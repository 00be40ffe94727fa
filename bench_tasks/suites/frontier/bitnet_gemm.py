"""Ternary weights, sixteen to a word, times 8-bit activations.

BitNet b1.58 (arXiv:2402.17764): every weight is -1, 0 or 1.
"""

import torch

FAMILY = "quantised"
M, K, N = 128, 8192, 8192
DTYPE = "float16"
TWIN = {"M": 128, "K": 768, "N": 992}
WORKLOADS = [
    {"distribution": "as_given", "seeds": 3},
    {"distribution": "normal"},
    {"distribution": "uniform"},
    {"distribution": "one_hot"},
]


class Model(torch.nn.Module):
    def forward(self, a, packed, a_scale, w_scale):
        """int8 (M, K), int32 (N, K/16) of 2-bit codes 0, 1, 2 for -1, 0, 1; scales (M, 1) and (N,) -> (M, N)"""
        shifts = torch.arange(0, 32, 2, device=a.device, dtype=torch.int32)
        weight = ((packed[..., None] >> shifts) & 3).flatten(1) - 1
        total = a.float() @ weight.float().T  # whole numbers below 2**24: exact
        return (total * a_scale * w_scale).to(a_scale.dtype)


def get_inputs():
    dtype = getattr(torch, DTYPE)
    words = (torch.randint(3, (N, K // 16, 16)) << torch.arange(0, 32, 2)).sum(-1)
    packed = (words - (words >> 31 << 32)).to(torch.int32)
    a = (torch.randn(M, K) * 40).clamp(-128, 127).to(torch.int8)
    return [a, packed, (torch.rand(M, 1) * 0.02 + 0.01).to(dtype), (torch.rand(N) * 0.02 + 0.01).to(dtype)]


def get_init_inputs():
    return []
