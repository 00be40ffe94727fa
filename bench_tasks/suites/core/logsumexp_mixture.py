"""Logarithm of a sum of exponentials over the middle axis.

The likelihood of samples under a mixture of components, from their log-densities.
"""

import torch

FAMILY = "reduction"
BATCH, COMPONENTS, SAMPLES = 16, 48, 40000
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 3, "COMPONENTS": 24, "SAMPLES": 5000}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def forward(self, log_densities):
        return torch.logsumexp(log_densities, dim=1)


def get_inputs():
    return [3 * torch.randn(BATCH, COMPONENTS, SAMPLES, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
