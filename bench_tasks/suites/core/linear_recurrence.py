"""A gated linear recurrence over time: each state is a share of the one before it plus an input.

The core of minimal GRUs, of RG-LRU in Griffin (arXiv:2402.19427) and of diagonal state-space models.
"""

import torch

FAMILY = "scan"
BATCH, LENGTH, CHANNELS = 8, 512, 2560
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 2, "LENGTH": 100, "CHANNELS": 640}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def forward(self, gates, x, state):
        kept, states = torch.sigmoid(gates), []
        for share, entering in zip(kept.unbind(1), x.unbind(1), strict=True):
            state = share * state + entering
            states.append(state)
        return torch.stack(states, dim=1)


def get_inputs():
    dtype = getattr(torch, DTYPE)
    gates = torch.randn(BATCH, LENGTH, CHANNELS, dtype=dtype) + 2.0
    return [gates, torch.randn(BATCH, LENGTH, CHANNELS, dtype=dtype), torch.randn(BATCH, CHANNELS, dtype=dtype)]


def get_init_inputs():
    return []
