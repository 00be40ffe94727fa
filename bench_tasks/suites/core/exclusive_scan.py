"""Where each item's output begins: the sum of the counts before it.

Stream compaction, ragged batches, allocation in parallel: one long scan across all blocks of the GPU.
"""

import torch

FAMILY = "scan"
ITEMS = 10_000_000
TWIN = {"ITEMS": 250_000}
# integers stay as the task gives them, so no other distribution would say more
WORKLOADS = [{"distribution": "as_given", "seeds": 6}]


class Model(torch.nn.Module):
    def forward(self, counts):
        return torch.cumsum(counts, dim=0, dtype=torch.int32) - counts


def get_inputs():
    return [torch.randint(0, 8, (ITEMS,), dtype=torch.int32)]


def get_init_inputs():
    return []
