"""Distillation: divergence from a softened teacher, mixed with the cross entropy.

Training of a small language model by a large one: three normalisers over the vocabulary in one pass over both logits.
"""

import torch
import torch.nn.functional as F

FAMILY = "loss"
ROWS, VOCABULARY = 1024, 32000
DTYPE = "float32"
BACKWARD = False
TWIN = {"ROWS": 48, "VOCABULARY": 4000}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def __init__(self, temperature, share):
        super().__init__()
        self.temperature, self.share = temperature, share

    def forward(self, student, teacher, labels):
        wanted = F.log_softmax(teacher.detach() / self.temperature, dim=-1)
        soft = F.log_softmax(student / self.temperature, dim=-1)
        divergence = (wanted.exp() * (wanted - soft)).sum(dim=-1) * self.temperature**2
        hard = F.cross_entropy(student, labels, reduction="none")
        return self.share * divergence + (1 - self.share) * hard


def get_inputs():
    kind = getattr(torch, DTYPE)
    logits = [torch.randn(ROWS, VOCABULARY, dtype=kind) * 3 for _ in range(2)]
    return [*logits, torch.randint(0, VOCABULARY, (ROWS,))]


def get_init_inputs():
    return [2.0, 0.7]
