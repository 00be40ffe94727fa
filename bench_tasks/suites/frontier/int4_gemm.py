"""4-bit weights times half-precision activations, with a scale and a zero point for each group of weights.

Weight-only quantised language models at small batches: GPTQ (arXiv:2210.17323), AWQ (arXiv:2306.00978), Marlin (arXiv:2408.11743).
"""

import torch

FAMILY = "quantised"
M, K, N = 32, 4096, 11008
GROUP = 128
DTYPE = "float16"
TWIN = {"M": 32, "K": 1024, "N": 1536}
# products of larger draws pass 65,504
WORKLOADS = [
    {"distribution": "as_given", "seeds": 3},
    {"distribution": "normal"},
    {"distribution": "uniform"},
    {"distribution": "one_hot"},
]


class Model(torch.nn.Module):
    def forward(self, x, packed, scales, packed_zeros):
        """(M, K), int32 (K/8, N) with eight rows a word, (K/GROUP, N), int32 (K/GROUP, N/8) -> (M, N)"""
        shifts = torch.arange(0, 32, 4, device=x.device, dtype=torch.int32)
        codes = (packed[:, None, :] >> shifts[:, None]) & 15
        zeros = ((packed_zeros[:, :, None] >> shifts) & 15).flatten(1)
        codes = codes.reshape(scales.shape[0], -1, scales.shape[1])
        weight = (codes - zeros[:, None, :]) * scales[:, None, :]
        return x @ weight.flatten(0, 1)


def words(*shape):
    return torch.randint(-(2**31), 2**31, shape).to(torch.int32)


def get_inputs():
    dtype = getattr(torch, DTYPE)
    scales = torch.rand(K // GROUP, N) * 0.02 + 0.005
    return [torch.randn(M, K).to(dtype), words(K // 8, N), scales.to(dtype), words(K // GROUP, N // 8)]


def get_init_inputs():
    return []
