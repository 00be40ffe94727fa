"""Product with a weight that has two values in every four, kept as values and 2-bit positions.

Structured sparsity as sparse tensor cores take it (arXiv:2104.08378), for pruned language and vision models.
"""

import torch

FAMILY = "sparse"
M, K, N = 1024, 4096, 4096
DTYPE = "float16"
TWIN = {"M": 64, "K": 1024, "N": 512}
# products of larger draws pass 65,504
WORKLOADS = [
    {"distribution": "as_given", "seeds": 3},
    {"distribution": "normal"},
    {"distribution": "uniform"},
    {"distribution": "one_hot"},
]


class Model(torch.nn.Module):
    def forward(self, x, values, positions):
        """(M, K), (N, K/2), int32 (N, K/32): eight groups a word, two 2-bit positions each, the lower first -> (M, N)"""
        shifts = torch.arange(0, 32, 2, device=x.device, dtype=torch.int32)
        places = ((positions[..., None] >> shifts) & 3).reshape(values.shape[0], -1, 2).long()
        weight = torch.zeros(*places.shape[:2], 4, dtype=values.dtype, device=x.device)
        weight = weight.scatter(2, places, values.reshape(places.shape))
        return x @ weight.flatten(1).T


def get_inputs():
    dtype = getattr(torch, DTYPE)
    pairs = torch.tensor([0b0100, 0b1000, 0b1100, 0b1001, 0b1101, 0b1110])
    groups = pairs[torch.randint(6, (N, K // 32, 8))]
    words = (groups << torch.arange(0, 32, 4)).sum(-1)
    positions = (words - (words >> 31 << 32)).to(torch.int32)
    return [torch.randn(M, K).to(dtype), (torch.randn(N, K // 2) * 0.05).to(dtype), positions]


def get_init_inputs():
    return []
