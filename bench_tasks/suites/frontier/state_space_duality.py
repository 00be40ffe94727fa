"""State-space layer with one decay a head, as a product with a decaying lower triangle.

Mamba-2 (arXiv:2405.21060), whose kernels do it in chunks that pass a state on.
"""

import torch

FAMILY = "scan"
BATCH, HEADS, LENGTH, DIM, STATE = 2, 32, 1024, 64, 64
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 2, "HEADS": 4, "LENGTH": 240}
VARIANTS = {"backward": {"BACKWARD": True}}
# gates of hundreds make sums whose differences have no digits left
WORKLOADS = [
    {"distribution": "as_given", "seeds": 4},
    {"distribution": "normal"},
    {"distribution": "uniform"},
    {"distribution": "tiny"},
    {"distribution": "constant"},
]


class Model(torch.nn.Module):
    def __init__(self, heads):
        super().__init__()
        self.rate = torch.nn.Parameter(torch.rand(heads, 1) + 0.5)

    def forward(self, x, delta, b, c):
        """(BATCH, HEADS, LENGTH, DIM), (BATCH, HEADS, LENGTH), twice (BATCH, LENGTH, STATE) -> as x"""
        step = torch.nn.functional.softplus(delta)
        passed = torch.cumsum(step * self.rate, 2)
        between = passed[..., :, None] - passed[..., None, :]
        future = torch.ones(x.shape[2], x.shape[2], dtype=torch.bool, device=x.device).triu(1)
        decay = torch.exp(-between.masked_fill(future, torch.inf))
        products = (c @ b.transpose(1, 2))[:, None]
        return (products * decay) @ (x * step[..., None])


def get_inputs():
    dtype = getattr(torch, DTYPE)
    delta = torch.randn(BATCH, HEADS, LENGTH) - 3
    sizes = (BATCH, HEADS, LENGTH, DIM), (BATCH, LENGTH, STATE), (BATCH, LENGTH, STATE)
    x, b, c = (torch.randn(size).to(dtype) for size in sizes)
    return [x, delta.to(dtype), b, c]


def get_init_inputs():
    return [HEADS]
