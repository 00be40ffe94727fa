"""Values of each row at places of its own.

Log-probabilities of candidate tokens, Q-values of actions, features of nearest neighbours.
"""

import torch

FAMILY = "indexing"
ROWS, COLS, PICKED = 16384, 1600, 480
DTYPE = "float32"
BACKWARD = False
TWIN = {"ROWS": 400, "COLS": 800, "PICKED": 240}
VARIANTS = {"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def forward(self, table, places):
        return torch.gather(table, 1, places)


def get_inputs():
    table = torch.randn(ROWS, COLS, dtype=getattr(torch, DTYPE))
    return [table, torch.randint(0, COLS, (ROWS, PICKED))]


def get_init_inputs():
    return []
