"""Selective state space: convolution along time, a scan whose decay comes from the input, a gate.

The layer of Mamba. The scan is a linear recurrence in each channel, here step by step.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "recurrent"
BATCH, LENGTH, WIDTH, INNER, STATE, RANK = 2, 512, 512, 1024, 16, 32
DTYPE = "float32"
TWIN = {"LENGTH": 48, "WIDTH": 192, "INNER": 384, "STATE": 8, "RANK": 12}


class Model(nn.Module):
    def __init__(self, width, inner, state, rank):
        super().__init__()
        self.sizes = (rank, state, state)
        self.norm = nn.RMSNorm(width, eps=1e-5)
        self.enter = nn.Parameter(torch.randn(width, 2 * inner) * width**-0.5)
        self.conv = nn.Conv1d(inner, inner, 4, padding=3, groups=inner)
        self.select = nn.Parameter(torch.randn(inner, rank + 2 * state) * 2 * inner**-0.5)
        self.step = nn.Linear(rank, inner)
        self.rate = nn.Parameter(torch.arange(1, state + 1).log().repeat(inner, 1))
        self.skip = nn.Parameter(torch.ones(inner))
        self.leave = nn.Parameter(torch.randn(inner, width) * inner**-0.5)

    def forward(self, x):
        u, gate = (self.norm(x) @ self.enter).chunk(2, dim=-1)
        u = F.silu(self.conv(u.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2))
        low, write, read = (u @ self.select).split(self.sizes, dim=-1)
        step = F.softplus(self.step(low))
        keep = torch.exp(-step.unsqueeze(-1) * self.rate.exp())
        new = (step * u).unsqueeze(-1) * write.unsqueeze(2)
        states = [new[:, 0]]
        for t in range(1, x.shape[1]):
            states.append(keep[:, t] * states[-1] + new[:, t])
        y = (torch.stack(states, dim=1) * read.unsqueeze(2)).sum(dim=-1) + self.skip * u
        return x + (y * F.silu(gate)) @ self.leave


def get_inputs():
    return [torch.randn(BATCH, LENGTH, WIDTH)]


def get_init_inputs():
    return [WIDTH, INNER, STATE, RANK]
