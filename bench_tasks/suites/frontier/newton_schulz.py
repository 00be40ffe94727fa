"""Newton-Schulz iterations that bring a matrix near an orthogonal one.

The update of the Muon optimiser (Muon is Scalable for LLM Training, arXiv:2502.16982).
"""

import torch

FAMILY = "optimiser"
COUNT, ROWS, COLS = 24, 384, 1024
STEPS = 5
DTYPE = "float32"
TWIN = {"COUNT": 24, "ROWS": 48, "COLS": 128}
# a matrix of rank one has singular values of zero, whose rounding errors grow
WORKLOADS = [
    {"distribution": "as_given", "seeds": 2},
    {"distribution": "normal"},
    {"distribution": "large"},
    {"distribution": "tiny"},
    {"distribution": "mixed"},
    {"distribution": "one_hot"},
    {"distribution": "zeros"},
]


class Model(torch.nn.Module):
    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def forward(self, momentum):
        """(COUNT, ROWS, COLS)"""
        x = momentum / (torch.linalg.vector_norm(momentum, dim=(1, 2), keepdim=True) + 1e-7)
        for _ in range(self.steps):
            gram = x @ x.mT
            x = 3.4445 * x + (-4.775 * gram + 2.0315 * (gram @ gram)) @ x
        return x


def get_inputs():
    return [torch.randn(COUNT, ROWS, COLS).to(getattr(torch, DTYPE))]


def get_init_inputs():
    return [STEPS]
