"""What an LSTM does besides its matrix products, with layer norm of the cell.

Both products of a step and the cell come in; the state goes out through a norm, the cell without.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "recurrent"
BATCH, WIDTH = 4096, 1024
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 160, "WIDTH": 192}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(nn.Module):
    def __init__(self, width):
        super().__init__()
        kind = getattr(torch, DTYPE)
        self.bias = nn.Parameter(torch.randn(4 * width, dtype=kind))
        self.gamma = nn.Parameter(torch.ones(width, dtype=kind))
        self.beta = nn.Parameter(torch.zeros(width, dtype=kind))

    def forward(self, from_input, from_state, cell):
        write, forget, new, read = (from_input + from_state + self.bias).chunk(4, dim=1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(write) * torch.tanh(new)
        shown = F.layer_norm(cell, cell.shape[-1:], self.gamma, self.beta)
        return torch.sigmoid(read) * torch.tanh(shown), cell


def get_inputs():
    kind = getattr(torch, DTYPE)
    gates = [torch.randn(BATCH, 4 * WIDTH, dtype=kind) for _ in range(2)]
    return [*gates, torch.randn(BATCH, WIDTH, dtype=kind)]


def get_init_inputs():
    return [WIDTH]
