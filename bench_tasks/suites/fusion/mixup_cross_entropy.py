"""Smoothed cross entropy of images mixed from two.

Training of image classifiers with mixup: every row has two labels and a share of its own, the rest of the weight is spread over all classes.
"""

import torch

FAMILY = "loss"
ROWS, CLASSES = 32768, 1000
DTYPE = "float32"
BACKWARD = False
TWIN = {"ROWS": 320}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def __init__(self, smoothing):
        super().__init__()
        self.smoothing = smoothing

    def forward(self, logits, mix, first, second):
        logs = torch.log_softmax(logits, dim=-1)
        share = torch.sigmoid(mix)
        right = torch.lerp(logs.gather(1, second[:, None]), logs.gather(1, first[:, None]), share[:, None]).squeeze(1)
        return -(1 - self.smoothing) * right - self.smoothing * logs.mean(dim=-1)


def get_inputs():
    kind = getattr(torch, DTYPE)
    first, second = torch.randint(0, CLASSES, (2, ROWS))
    return [torch.randn(ROWS, CLASSES, dtype=kind) * 2, torch.randn(ROWS, dtype=kind), first, second]


def get_init_inputs():
    return [0.1]
