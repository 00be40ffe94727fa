"""Adds the message of each edge to the node that it goes to.

Aggregation in graph networks; edges come in no order, so several blocks add to one node.
"""

import torch

FAMILY = "indexing"
EDGES, NODES, DIM = 400_000, 25_000, 64
DTYPE = "float32"
BACKWARD = False
TWIN = {"EDGES": 5000, "NODES": 350}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def forward(self, nodes, messages, targets):
        return nodes.index_add(0, targets, messages)


def get_inputs():
    dtype = getattr(torch, DTYPE)
    nodes, messages = torch.randn(NODES, DIM, dtype=dtype), torch.randn(EDGES, DIM, dtype=dtype)
    return [nodes, messages, torch.randint(0, NODES, (EDGES,))]


def get_init_inputs():
    return []
