"""The transpose of one matrix times another, over a long inner axis.

The gradient of a linear layer's weight: tokens are summed over, the output is small.
"""

import torch

FAMILY = "matmul"
TOKENS, INPUTS, OUTPUTS = 16384, 768, 3072
DTYPE = "float32"
TWIN = {"TOKENS": 1024, "INPUTS": 96, "OUTPUTS": 384}
VARIANTS = {"half": {"DTYPE": "bfloat16"}}


class Model(torch.nn.Module):
    def forward(self, activations, gradient):
        return torch.einsum("ti,to->io", activations, gradient)


def get_inputs():
    dtype = getattr(torch, DTYPE)
    return [torch.randn(TOKENS, INPUTS, dtype=dtype), torch.randn(TOKENS, OUTPUTS, dtype=dtype)]


def get_init_inputs():
    return []
