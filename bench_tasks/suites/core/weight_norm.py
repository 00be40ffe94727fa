"""A weight matrix from a direction and a length for each row.

Weight normalisation (arXiv:1602.07868), as WaveNet-like vocoders have it on every convolution.
"""

import torch

FAMILY = "norm"
OUTPUTS, INPUTS = 4096, 5120
DTYPE = "float32"
BACKWARD = False
TWIN = {"OUTPUTS": 360, "INPUTS": 1024}
VARIANTS = {"backward": {"BACKWARD": True}}
# the defaults but zeros: a direction has a length
WORKLOADS = [
    {"distribution": "as_given", "seeds": 3},
    {"distribution": "normal", "seeds": 2},
    {"distribution": "large"},
    {"distribution": "tiny"},
    {"distribution": "mixed"},
    {"distribution": "constant"},
    {"distribution": "one_hot"},
    {"distribution": "sorted"},
]


class Model(torch.nn.Module):
    def forward(self, direction, length):
        return direction * (length / torch.linalg.vector_norm(direction, dim=1, keepdim=True))


def get_inputs():
    dtype = getattr(torch, DTYPE)
    return [torch.randn(OUTPUTS, INPUTS, dtype=dtype), torch.randn(OUTPUTS, 1, dtype=dtype)]


def get_init_inputs():
    return []
