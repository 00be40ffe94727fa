"""A linear layer without a bias: the weight lies transposed.

The up projection of a Llama-sized MLP on 2,048 tokens.
"""

import torch

FAMILY = "matmul"
TOKENS, INPUTS, OUTPUTS = 2048, 4096, 11008
DTYPE = "float32"
BACKWARD = False
TWIN = {"TOKENS": 96, "INPUTS": 512, "OUTPUTS": 688}
VARIANTS = {
    "half": {"DTYPE": "bfloat16"},
    "backward": {"BACKWARD": True, "TWIN": {"TOKENS": 80, "INPUTS": 416, "OUTPUTS": 688}},
}


class Model(torch.nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.projection = torch.nn.Linear(inputs, outputs, bias=False, dtype=getattr(torch, DTYPE))

    def forward(self, x):
        return self.projection(x)


def get_inputs():
    return [torch.randn(TOKENS, INPUTS, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return [INPUTS, OUTPUTS]
