"""What a GRU does besides its matrix products.

Both products of a step come in, the new state goes out: two sigmoids, a tanh and a mix.
"""

import torch
from torch import nn

FAMILY = "recurrent"
BATCH, WIDTH = 4096, 1024
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 192, "WIDTH": 192}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}


class Model(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.bias = nn.Parameter(torch.randn(3 * width, dtype=getattr(torch, DTYPE)))
        self.state_bias = nn.Parameter(torch.randn(width, dtype=getattr(torch, DTYPE)))

    def forward(self, from_input, from_state, state):
        reset, update, new = (from_input + self.bias).chunk(3, dim=1)
        reset_state, update_state, new_state = from_state.chunk(3, dim=1)
        reset = torch.sigmoid(reset + reset_state)
        update = torch.sigmoid(update + update_state)
        new = torch.tanh(new + reset * (new_state + self.state_bias))
        return new + update * (state - new)


def get_inputs():
    kind = getattr(torch, DTYPE)
    gates = [torch.randn(BATCH, 3 * WIDTH, dtype=kind) for _ in range(2)]
    return [*gates, torch.randn(BATCH, WIDTH, dtype=kind)]


def get_init_inputs():
    return [WIDTH]
