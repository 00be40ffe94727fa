"""Graph attention: each node takes from its neighbours by a softmax over its own edges.

Edges come as pairs in no order, with one from each node to itself.
"""

import torch
import torch.nn.functional as F
from torch import nn

FAMILY = "graph"
NODES, EDGES, WIDTH, HEADS, SIZE = 40000, 400000, 128, 4, 32
DTYPE = "float32"
TWIN = {"NODES": 1000, "EDGES": 8000}


class Model(nn.Module):
    def __init__(self, width, heads, size):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, heads * size) * width**-0.5)
        self.from_source = nn.Parameter(torch.randn(heads, size) * 2 * size**-0.5)
        self.from_target = nn.Parameter(torch.randn(heads, size) * 2 * size**-0.5)
        self.bias = nn.Parameter(torch.randn(heads * size))

    def forward(self, x, source, target):
        y = (x @ self.weight).unflatten(1, self.from_source.shape)
        score = (y * self.from_source).sum(-1)[source] + (y * self.from_target).sum(-1)[target]
        score = F.leaky_relu(score, 0.2)
        index = target[:, None].expand_as(score)
        largest = score.new_zeros(x.shape[0], score.shape[1]).scatter_reduce(
            0, index, score, "amax", include_self=False
        )
        weight = torch.exp(score - largest[target])
        total = torch.zeros_like(largest).index_add(0, target, weight)
        mixed = torch.zeros_like(y).index_add(0, target, y[source] * weight.unsqueeze(-1))
        return F.elu((mixed / total.unsqueeze(-1)).flatten(1) + self.bias)


def get_inputs():
    source, target = torch.randint(0, NODES, (2, EDGES))
    each = torch.arange(NODES)
    order = torch.randperm(EDGES + NODES)
    return [torch.randn(NODES, WIDTH), torch.cat([source, each])[order], torch.cat([target, each])[order]]


def get_init_inputs():
    return [WIDTH, HEADS, SIZE]
