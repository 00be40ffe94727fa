"""Tasks in the formats of other systems, written for the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

KERNELBENCH = '''import torch

class Model(torch.nn.Module):
    """Adds {number} to its input."""
    def forward(self, x):
        return x + {number}

ROWS = 1024 * 4
COLUMNS = 2048

def get_inputs():
    return [torch.rand(ROWS, COLUMNS)]

def get_init_inputs():
    return []
'''

FORWARD = '''import torch
import torch.nn as nn


def forward_fn(x: torch.Tensor, weight: torch.Tensor, factor: float) -> torch.Tensor:
    """Scales the columns. And nothing else."""
    return x * weight * factor


class Model(nn.Module):
    def __init__(self, features: int = 32, factor: float = 2.0, start: str = "ones"):
        super(Model, self).__init__()
        made = torch.ones(features) if start == "ones" else torch.randn(features)
        self.weight = nn.Parameter(made)
        self.factor = factor

    def forward(self, x: torch.Tensor, fn=forward_fn) -> torch.Tensor:
        return fn(x, self.weight, self.factor)


def get_inputs(batch: int = 8, features: int = 32):
    return [torch.randn(batch, features)]


input_names = ["x"]
'''

BACKWARD = FORWARD.replace(
    "def forward_fn",
    """class AutogradFunction(torch.autograd.Function):
    backward_fn = None

    @staticmethod
    def forward(ctx, x, weight, factor):
        ctx.save_for_backward(x, weight)
        ctx.factor = factor
        return x * weight * factor

    @staticmethod
    def backward(ctx, grad_output):
        x, weight = ctx.saved_tensors
        grad_x, grad_weight = AutogradFunction.backward_fn(grad_output, x, weight, ctx.factor)
        return grad_x, grad_weight, None


def forward_fn""",
    1,
)

CONFIG: dict[str, Any] = {
    "single_input_configs": [{"batch": 64}],
    "single_init_configs": [{"start": "random"}],
    "single_shared_configs": [{"features": 128}],
    "multi_input_configs": [{"batch": 64}, {"batch": 4, "features": 7}],
    "multi_init_configs": [{"start": "random"}, {"start": "ones", "factor": 3.0}],
    "multi_shared_configs": [{"features": 128}, {"features": 4096}],
}

FORWARD_CU = """#include <torch/extension.h>
__global__ void scale(const float* x, const float* w, float* y, float factor, int columns, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) y[i] = x[i] * w[i % columns] * factor;
}
torch::Tensor forward(torch::Tensor x, torch::Tensor w, double factor) {
    auto y = torch::empty_like(x);
    int count = x.numel();
    scale<<<(count + 255) / 256, 256>>>(
        x.data_ptr<float>(), w.data_ptr<float>(), y.data_ptr<float>(), float(factor), x.size(1), count);
    return y;
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("forward", &forward); }
"""


def write_kernelbench(folder: Path, levels: dict[str, int]) -> Path:
    """A collection with so many tasks in each level's folder."""
    for level, count in levels.items():
        (folder / level).mkdir(parents=True)
        for number in range(1, count + 1):
            (folder / level / f"{number}_Add.py").write_text(KERNELBENCH.format(number=number))
    return folder


def write_robust(folder: Path, *, backward: bool = True, config: dict[str, Any] | None = None) -> Path:
    """One task of robust-kbench."""
    folder.mkdir(parents=True)
    text = json.dumps(CONFIG if config is None else config)
    (folder / "func_forward.py").write_text(FORWARD)
    (folder / "config_forward.json").write_text(text)
    if backward:
        (folder / "func_backward.py").write_text(BACKWARD)
        (folder / "config_backward.json").write_text(text)
    return folder
