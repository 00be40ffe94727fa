"""Which interval of a sorted list of boundaries each value lies in.

Bucketing features, quantile transforms, drawing from a distribution by its cumulated weights.
"""

import torch

FAMILY = "sorting"
VALUES, BOUNDARIES = 8_000_000, 1000
DTYPE = "float32"
TWIN = {"VALUES": 200_000, "BOUNDARIES": 1000}
# boundaries must be sorted, which those of another distribution are not
WORKLOADS = [{"distribution": "as_given", "seeds": 6}]


class Model(torch.nn.Module):
    def forward(self, boundaries, values):
        return torch.searchsorted(boundaries, values, right=True)


def get_inputs():
    dtype = getattr(torch, DTYPE)
    return [torch.randn(BOUNDARIES, dtype=dtype).sort().values, 1.2 * torch.randn(VALUES, dtype=dtype)]


def get_init_inputs():
    return []
