"""Kernel modules for the tests of static analysis, put together from a few changed lines."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.static import Finding, Severity, StaticReport, analyse

MARK = "HERE"
"""Stands in a comment of the line that a finding must name."""

KERNEL = """
extern "C" __global__ void scale(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = 2.0f * x[i];
}
"""
HOST = """
#include <torch/extension.h>
__global__ void scale(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = 2.0f * x[i];
}
torch::Tensor run(torch::Tensor x) {
    auto y = torch::empty_like(x);
    int n = x.numel();
    scale<<<(n + 127) / 128, 128>>>(x.data_ptr<float>(), y.data_ptr<float>(), n);
    return y;
}
"""
_RUN = """
def run(x):
    y = torch.empty_like(x)
    MODULE.get_function("scale")(((x.numel() + 127) // 128,), (128,), (x.data_ptr(), y.data_ptr(), np.int32(x.numel())))
    return y
"""


@dataclass(frozen=True)
class Case:
    """One rule: code that falls under it, and honest code much like it that does not."""

    rule: str
    hostile: str
    honest: str


def cupy_module(
    forward: str = "return run(x)", *, top: str = "", init: str = "", cuda: str = KERNEL, head: str = "class ModelNew(nn.Module):",
    quotes: str = '"""', prefix: str = "r", extra: str = "",
) -> str:  # fmt: skip
    """A module that compiles `cuda` by CuPy, whose forward() may call `run(x)`."""
    return (
        "import cupy\nimport numpy as np\nimport torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n\n"
        f"CUDA = {prefix}{quotes}{cuda}{quotes}\nMODULE = cupy.RawModule(code=CUDA)\n{_RUN}\n{_block(top)}\n{head}\n"
        f"    def __init__(self, n=4):\n        super().__init__()\n{_block(init, 8)}\n"
        f"    def forward(self, x):\n{_block(forward, 8)}\n{_block(extra, 4)}"
    )


def extension_module(cuda: str = HOST, forward: str = "return ops.run(x)", functions: str = "['run']") -> str:
    """A module that compiles `cuda` by torch's load_inline."""
    return (
        "import torch\nfrom torch import nn\nfrom torch.utils.cpp_extension import load_inline\n\n"
        f'CUDA = r"""{cuda}"""\nops = load_inline("m", "torch::Tensor run(torch::Tensor x);", CUDA, functions={functions})\n\n'
        f"class ModelNew(nn.Module):\n    def forward(self, x):\n{_block(forward, 8)}\n"
    )


def host_code(body: str, *, top: str = "") -> str:
    """An extension whose `run` begins with `body`."""
    return extension_module(
        HOST.replace("    auto y =", f"{_block(body, 4)}\n    auto y =").replace(
            "torch::Tensor run", f"{textwrap.dedent(top)}\ntorch::Tensor run"
        )
    )


def device_code(body: str, *, top: str = "") -> str:
    """A CuPy module whose kernel begins with `body`."""
    changed = KERNEL.replace("    int i =", f"{_block(body, 4)}\n    int i =").replace(
        'extern "C"', f'{textwrap.dedent(top)}\nextern "C"'
    )
    return cupy_module(cuda=changed)


def report(source: str) -> StaticReport:
    """The analysis of a source."""
    return analyse(Kernel(source, "t"))


def rejected(source: str) -> list[Finding]:
    """Only what rejects."""
    return [f for f in report(source).findings if f.severity is Severity.REJECT]


def rules(source: str) -> set[str]:
    """The rules that a source falls under."""
    return {finding.rule for finding in report(source).findings}


def marked_line(source: str) -> int | None:
    """The line that holds the mark."""
    return next((number for number, line in enumerate(source.split("\n"), 1) if MARK in line), None)


def _block(text: str, indent: int = 0) -> str:
    return textwrap.indent(textwrap.dedent(text).strip("\n"), " " * indent)
