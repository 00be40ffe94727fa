"""The order that brings tokens of the same expert together; within one they keep their order.

The first step of a mixture of experts: a stable sort of small integers, so counting is enough.
"""

import torch

FAMILY = "sorting"
TOKENS, EXPERTS = 4_000_000, 60
TWIN = {"TOKENS": 200_000}
# integers stay as the task gives them, so no other distribution would say more
WORKLOADS = [{"distribution": "as_given", "seeds": 6}]


class Model(torch.nn.Module):
    def forward(self, experts):
        return torch.argsort(experts, stable=True)


def get_inputs():
    popularity = torch.rand(EXPERTS) + 0.1
    return [torch.multinomial(popularity, TOKENS, replacement=True).to(torch.int32)]


def get_init_inputs():
    return []
