"""Kullback-Leibler divergence of a student from its teacher at a temperature, for each token.

Knowledge distillation (arXiv:1503.02531); the teacher gets no gradient.
"""

import torch
import torch.nn.functional as F

FAMILY = "loss"
TOKENS, CLASSES = 4096, 6000
DTYPE = "float32"
BACKWARD = False
TWIN = {"TOKENS": 160, "CLASSES": 1500}
VARIANTS = {"backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def __init__(self, temperature):
        super().__init__()
        self.temperature = temperature

    def forward(self, student, teacher):
        student = F.log_softmax(student / self.temperature, dim=-1)
        teacher = F.log_softmax(teacher.detach() / self.temperature, dim=-1)
        divergence = F.kl_div(student, teacher, reduction="none", log_target=True).sum(dim=-1)
        return divergence * self.temperature**2


def get_inputs():
    dtype = getattr(torch, DTYPE)
    return [2 * torch.randn(TOKENS, CLASSES, dtype=dtype), 2 * torch.randn(TOKENS, CLASSES, dtype=dtype)]


def get_init_inputs():
    return [2.0]
