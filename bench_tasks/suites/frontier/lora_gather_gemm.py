"""Low-rank updates in one batch, each request with its own adapter.

Serving many fine-tuned models from one copy of the weights (Punica, arXiv:2310.18547; S-LoRA, arXiv:2311.03285).
"""

import torch

FAMILY = "lora"
BATCH, ADAPTERS, RANK = 256, 64, 16
INNER, OUTER = 4096, 4096
DTYPE = "float16"
TWIN = {"BATCH": 32, "ADAPTERS": 24, "RANK": 8, "INNER": 512, "OUTER": 640}
# products of larger draws pass 65,504
WORKLOADS = [
    {"distribution": "as_given", "seeds": 3},
    {"distribution": "normal"},
    {"distribution": "uniform"},
    {"distribution": "one_hot"},
]


class Model(torch.nn.Module):
    def forward(self, x, down, up, adapter, base):
        """(BATCH, INNER), (ADAPTERS, RANK, INNER), (ADAPTERS, OUTER, RANK), int32 (BATCH,), (BATCH, OUTER) -> as base"""
        adapter = adapter.long()
        narrow = torch.bmm(down[adapter], x[..., None])
        return base + torch.bmm(up[adapter], narrow)[..., 0]


def get_inputs():
    dtype = getattr(torch, DTYPE)
    down = torch.randn(ADAPTERS, RANK, INNER) * INNER**-0.5
    up = torch.randn(ADAPTERS, OUTER, RANK) * 0.5
    adapter = torch.randint(ADAPTERS, (BATCH,)).to(torch.int32)
    x, base = torch.randn(BATCH, INNER), torch.randn(BATCH, OUTER)
    return [x.to(dtype), down.to(dtype), up.to(dtype), adapter, base.to(dtype)]


def get_init_inputs():
    return []
