"""Sinkhorn iterations in the log domain: the logarithm of an entropic transport plan between two sets.

Matching layers and balanced routing need it (Sinkhorn Distances, arXiv:1306.0895).
"""

import torch

FAMILY = "transport"
BATCH, LEFT, RIGHT = 48, 500, 400
ROUNDS = 8
DTYPE = "float32"
BACKWARD = False
TWIN = {"BATCH": 6, "LEFT": 180, "RIGHT": 130}
VARIANTS = {"backward": {"BACKWARD": True}}
# scores of hundreds make plans of zeros and ones, whose gradients are differences of nearly equal numbers
WORKLOADS = [
    {"distribution": "as_given", "seeds": 3},
    {"distribution": "normal"},
    {"distribution": "uniform"},
    {"distribution": "tiny"},
    {"distribution": "constant"},
]


class Model(torch.nn.Module):
    def __init__(self, rounds):
        super().__init__()
        self.rounds = rounds

    def forward(self, scores):
        """(BATCH, LEFT, RIGHT) -> the same; every column of the plan sums to one"""
        for _ in range(self.rounds):
            scores = torch.log_softmax(torch.log_softmax(scores, 2), 1)
        return scores


def get_inputs():
    return [torch.randn(BATCH, LEFT, RIGHT, dtype=getattr(torch, DTYPE)) * 3]


def get_init_inputs():
    return [ROUNDS]
