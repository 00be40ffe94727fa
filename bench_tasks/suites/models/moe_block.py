"""Sparse mixture of experts: each token through its best two of eight, as far as there is room.

The feed-forward layer of Mixtral, with the fixed room for each expert of GShard: first choices are seated first, then second
ones, and what finds no seat adds nothing. Inputs have no ties between experts.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "transformer"
TOKENS, WIDTH, HIDDEN, EXPERTS = 1024, 1024, 2048, 8
DTYPE = "float32"
TWIN = {"TOKENS": 168, "WIDTH": 64, "HIDDEN": 160}
WORKLOADS = [
    {"distribution": "as_given", "seeds": 3},
    {"distribution": "normal", "seeds": 2},
    {"distribution": "large"},
    {"distribution": "uniform"},
    {"distribution": "mixed"},
]


class Model(nn.Module):
    def __init__(self, width, hidden, experts, room):
        super().__init__()
        self.room = room
        self.router = nn.Parameter(torch.randn(width, experts) * width**-0.5)
        self.liked = nn.Parameter(torch.linspace(-0.8, 0.8, experts))  # uneven, so that seats run out
        self.gate = nn.Parameter(torch.randn(experts, width, hidden) * width**-0.5)
        self.up = nn.Parameter(torch.randn(experts, width, hidden) * width**-0.5)
        self.down = nn.Parameter(torch.randn(experts, hidden, width) * hidden**-0.5)

    def forward(self, x):
        (tokens, width), experts = x.shape, self.router.shape[1]
        seats = int(self.room * 2 * tokens / experts)
        values, chosen = (x @ self.router + self.liked).topk(2, dim=-1)
        weights, chosen = torch.softmax(values, dim=-1).T, chosen.T.flatten()
        mine = chosen[:, None] == torch.arange(experts, device=x.device)
        waiting = mine.cumsum(0).gather(1, chosen[:, None]).squeeze(1) - 1
        seat = torch.where(waiting < seats, chosen * seats + waiting, experts * seats)
        rows = x.new_zeros(experts * seats + 1, width).index_copy(0, seat, x.repeat(2, 1))
        y = rows[:-1].view(experts, seats, width)
        y = torch.bmm(F.silu(torch.bmm(y, self.gate)) * torch.bmm(y, self.up), self.down)
        y = torch.cat([y.flatten(0, 1), y.new_zeros(1, width)])[seat].view(2, tokens, width)
        return (y * weights.unsqueeze(-1)).sum(dim=0)


def get_inputs():
    return [torch.randn(TOKENS, WIDTH)]


def get_init_inputs():
    return [WIDTH, HIDDEN, EXPERTS, 1.5]
