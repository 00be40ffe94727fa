"""An honest kernel, and how its text and its task's are put together."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass


@dataclass(frozen=True)
class Honest:
    """A kernel that computes its task's function by its own CUDA C++, in a style people write."""

    task: str
    style: str
    source: str

    @property
    def name(self) -> str:
        """``task-style``."""
        return f"{self.task}-{self.style}"


def task(
    forward: str, inputs: str, *, names: str = "x", init: str = "", arguments: str = "", values: str = "", top: str = ""
) -> str:
    """A KernelBench-style task file.

    Args:
        forward: the body of `forward(self, names)`.
        inputs: what stands between the brackets of `get_inputs`'s list.
        init: the rest of the body of `__init__(self, arguments)`.
        values: what stands between the brackets of `get_init_inputs`'s list.
        top: what stands before the class.
    """
    return "\n".join(
        [
            "import torch\nimport torch.nn.functional as F\n",
            textwrap.dedent(top).strip("\n"),
            "\n\nclass Model(torch.nn.Module):",
            *_constructor(init, arguments),
            f"    def forward(self, {names}):",
            _body(forward),
            f"\n\ndef get_inputs():\n    return [{inputs}]\n\n\ndef get_init_inputs():\n    return [{values}]\n",
        ]
    )


def module(
    cuda: str,
    forward: str,
    *,
    names: str = "x",
    init: str = "",
    arguments: str = "",
    options: str = "",
    top: str = "",
    build: str = "",
) -> str:
    """A module with its CUDA C++ in `CUDA`, compiled by CuPy to `MODULE`; `run` launches a kernel of it.

    Args:
        forward: the body of `forward(self, names)`.
        init: the rest of the body of `__init__(self, arguments)`.
        options: further keyword arguments of `cupy.RawModule`.
        top: what stands between the CUDA and the class.
        build: what stands in place of the `RawModule` and `run`.
    """
    compiled = build or (
        f"MODULE = cupy.RawModule(code=CUDA{', ' + options if options else ''})\n\n\n"
        "def run(name, grid, block, *arguments, shared=0):\n"
        "    MODULE.get_function(name)(grid, block, arguments, shared_mem=shared)"
    )
    head = "import cupy\nimport numpy as np\n" if "cupy" in compiled else ""
    if head and "INFINITY" in cuda:  # NVRTC has no header that defines it
        cuda = f"\n#define INFINITY __int_as_float(0x7f800000){cuda}"
    return "\n".join(
        [
            f'{head}import torch\nimport torch.nn as nn\n\nCUDA = r"""{cuda}"""',
            compiled,
            textwrap.dedent(top).strip("\n"),
            "\n\nclass ModelNew(nn.Module):",
            *_constructor(init, arguments),
            f"    def forward(self, {names}):",
            _body(forward),
            "",
        ]
    )


def _constructor(init: str, arguments: str) -> list[str]:
    if not init.strip():
        return []
    return [
        f"    def __init__(self{', ' + arguments if arguments else ''}):\n        super().__init__()",
        _body(init),
        "",
    ]


def _body(text: str) -> str:
    return textwrap.indent(textwrap.dedent(text).strip("\n"), " " * 8)
