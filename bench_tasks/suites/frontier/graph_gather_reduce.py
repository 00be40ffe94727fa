"""Sum and maximum over the neighbours of every node of a graph, edges weighted.

Several aggregators side by side (Principal Neighbourhood Aggregation, arXiv:2004.05718); edges are sorted by receiver.
"""

import torch

FAMILY = "graph"
NODES, EDGES, WIDTH = 65_536, 786_432, 64
DTYPE = "float32"
TWIN = {"NODES": 1600, "EDGES": 19_200}
VARIANTS = {"half": {"DTYPE": "bfloat16"}}


class Model(torch.nn.Module):
    def forward(self, features, begins, senders, weights):
        """(NODES, WIDTH), int32 (NODES + 1,), int32 (EDGES,), (EDGES,) -> (NODES, 2 * WIDTH); no neighbour gives zeros"""
        edge = torch.arange(len(senders), device=features.device)
        receiver = torch.searchsorted(begins, edge, right=True) - 1
        messages = features[senders.long()] * weights[:, None]
        total = torch.zeros_like(features).index_add(0, receiver, messages)
        index = receiver[:, None].expand_as(messages)
        largest = torch.zeros_like(features).scatter_reduce(0, index, messages, "amax", include_self=False)
        return torch.cat([total, largest], 1)


def get_inputs():
    dtype = getattr(torch, DTYPE)
    receivers = torch.randint(NODES, (EDGES,)).sort().values
    begins = torch.searchsorted(receivers, torch.arange(NODES + 1))
    senders = torch.randint(NODES, (EDGES,))
    return [torch.randn(NODES, WIDTH).to(dtype), begins.int(), senders.int(), torch.randn(EDGES).to(dtype)]


def get_init_inputs():
    return []
