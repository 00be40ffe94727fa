"""Graph convolution: features projected, then summed over neighbours by both nodes' degrees.

Few nodes have many edges, as in citation graphs; the sums are scattered.
"""

import torch
from torch import nn

FAMILY = "graph"
NODES, EDGES, WIDTH, OUT = 60000, 900000, 128, 64
DTYPE = "float32"
BACKWARD = False
TWIN = {"NODES": 1300, "EDGES": 10000}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(nn.Module):
    def __init__(self, width, out):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, out) * (2 / width) ** 0.5)
        self.bias = nn.Parameter(torch.randn(out))

    def forward(self, x, source, target):
        y = x @ self.weight
        degree = x.new_ones(x.shape[0]).index_add(0, target, x.new_ones(target.shape))  # each node is its own neighbour
        share = degree.rsqrt()[:, None]
        scaled = y * share
        return torch.relu(scaled.index_add(0, target, scaled.index_select(0, source)) * share + self.bias)


def get_inputs():
    source = torch.randint(0, NODES, (EDGES,))
    target = (torch.rand(EDGES) ** 3 * NODES).long().clamp(max=NODES - 1)
    return [torch.randn(NODES, WIDTH), source, target]


def get_init_inputs():
    return [WIDTH, OUT]
