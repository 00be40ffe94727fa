"""Class labels as rows of targets with smoothing.

Training with mixed or distilled labels: one minus a little at the label, the rest spread over the other classes.
"""

import torch

FAMILY = "indexing"
EXAMPLES, CLASSES = 16384, 1000
DTYPE = "float32"
TWIN = {"EXAMPLES": 500, "CLASSES": 600}


class Model(torch.nn.Module):
    def forward(self, labels, smoothing):
        rest = (smoothing / (CLASSES - 1))[:, None].expand(-1, CLASSES)
        return rest.scatter(1, labels[:, None], (1 - smoothing)[:, None])


def get_inputs():
    labels = torch.randint(0, CLASSES, (EXAMPLES,))
    return [labels, 0.2 * torch.rand(EXAMPLES, dtype=getattr(torch, DTYPE))]


def get_init_inputs():
    return []
