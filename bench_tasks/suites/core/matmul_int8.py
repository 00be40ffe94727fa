"""Product of two int8 matrices, added up in int32.

The core of quantised linear layers; every bit of the result is defined.
"""

import torch

FAMILY = "matmul"
ROWS, INNER, COLS = 2048, 4096, 4096
TWIN = {"ROWS": 384, "INNER": 512, "COLS": 448}
# integers stay as the task gives them, so no other distribution would say more
WORKLOADS = [{"distribution": "as_given", "seeds": 6}]


class Model(torch.nn.Module):
    def forward(self, a, b):
        return torch._int_mm(a, b)


def get_inputs():
    a = torch.randint(-128, 128, (ROWS, INNER), dtype=torch.int8)
    return [a, torch.randint(-128, 128, (INNER, COLS), dtype=torch.int8)]


def get_init_inputs():
    return []
