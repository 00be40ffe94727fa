"""The small part of CuPy that kernels use, on Kernelwright's emulator.

An emulated worker puts this package's folder on its path, so `import cupy` finds it; with a GPU the real CuPy is
imported and the same file runs unchanged. Names and behaviour follow CuPy 13 and 14; what is missing raises an
AttributeError that says so.
"""

from __future__ import annotations

from typing import Any

from numpy import (  # noqa: F401 - scalar types that kernels' host code uses
    bool_,
    complex64,
    complex128,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)

from . import cuda
from ._array import (
    asarray,
    ascontiguousarray,
    asnumpy,
    empty,
    empty_like,
    from_dlpack,
    ndarray,
    zeros,
    zeros_like,
)
from ._kernels import RawKernel, RawModule

__all__ = [
    "RawKernel", "RawModule", "array", "asarray", "ascontiguousarray", "asnumpy", "cuda", "empty", "empty_like", "from_dlpack",
    "ndarray", "zeros", "zeros_like",
]  # fmt: skip
__version__ = "13.6.0"

array = asarray


def __getattr__(name: str) -> Any:
    raise AttributeError(
        f"cupy.{name} is not part of the emulated CuPy: a kernel here may use RawModule, RawKernel, cuda streams and "
        "array exchange; compute in CUDA C++, not with cupy functions"
    )
