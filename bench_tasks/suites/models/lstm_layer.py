"""A layer of LSTM over a whole sequence.

Speech and time series: the products with the inputs can be done at once, those with the state only step by step.
"""

import torch
from torch import nn

FAMILY = "recurrent"
LENGTH, BATCH, WIDTH, HIDDEN = 64, 128, 512, 512
DTYPE = "float32"
TWIN = {"LENGTH": 12, "BATCH": 16, "WIDTH": 96, "HIDDEN": 192}


class Model(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.from_input = nn.Parameter(torch.randn(width, 4 * hidden) * width**-0.5)
        self.from_state = nn.Parameter(torch.randn(hidden, 4 * hidden) * 2 * hidden**-0.5)
        self.bias = nn.Parameter(torch.randn(4 * hidden))

    def forward(self, x, state, cell):
        states = []
        for step in x @ self.from_input + self.bias:
            write, forget, new, read = (step + state @ self.from_state).chunk(4, dim=1)
            cell = torch.sigmoid(forget) * cell + torch.sigmoid(write) * torch.tanh(new)
            state = torch.sigmoid(read) * torch.tanh(cell)
            states.append(state)
        return torch.stack(states), cell


def get_inputs():
    return [torch.randn(LENGTH, BATCH, WIDTH), torch.randn(BATCH, HIDDEN), torch.randn(BATCH, HIDDEN)]


def get_init_inputs():
    return [WIDTH, HIDDEN]
