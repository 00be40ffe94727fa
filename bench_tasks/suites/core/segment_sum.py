"""Sum of each segment of rows; segments have lengths of their own, some none.

Message passing on a graph whose edges are sorted by target, and bags of tokens: offsets as in compressed sparse rows.
"""

import torch

FAMILY = "scan"
ROWS, SEGMENTS, DIM = 400_000, 30_000, 64
DTYPE = "float32"
TWIN = {"ROWS": 5000, "SEGMENTS": 400}


class Model(torch.nn.Module):
    def forward(self, values, offsets):
        return torch.segment_reduce(values, "sum", offsets=offsets, axis=0)


def get_inputs():
    cuts = torch.randint(0, ROWS + 1, (SEGMENTS - 1,)).sort().values
    offsets = torch.cat([torch.tensor([0]), cuts, torch.tensor([ROWS])])
    return [torch.randn(ROWS, DIM, dtype=getattr(torch, DTYPE)), offsets]


def get_init_inputs():
    return []
