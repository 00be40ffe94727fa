"""The small part of CuPy that kernels use, on Kernelwright's emulator.

An emulated worker puts this package's folder on its path, so `import cupy` finds it; with a GPU the real CuPy is
imported and the same file runs unchanged. Names and behaviour follow CuPy 13 and 14; what is missing raises an
AttributeError that says so.
"""

from __future__ import annotations

from typing import Any

import numpy as _numpy
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
from ._kernels import RawKernel, RawModule

__all__ = ["RawKernel", "RawModule", "asarray", "cuda", "empty", "from_dlpack", "ndarray", "zeros"]
__version__ = "13.6.0"

ndarray = _numpy.ndarray


def from_dlpack(tensor: Any) -> Any:
    """The tensor's memory as an array, not copied."""
    return _numpy.from_dlpack(tensor)


def asarray(value: Any, dtype: Any = None) -> Any:
    """An array of `value`; a contiguous tensor is not copied."""
    if hasattr(value, "__dlpack__") and not isinstance(value, _numpy.ndarray):
        value = _numpy.from_dlpack(value)
    return _numpy.asarray(value, dtype=dtype)


array = asarray
empty = _numpy.empty
zeros = _numpy.zeros


def asnumpy(value: Any) -> Any:
    """The array itself: its memory is the CPU's."""
    return _numpy.asarray(value)


def __getattr__(name: str) -> Any:
    raise AttributeError(
        f"cupy.{name} is not part of the emulated CuPy: a kernel here may use RawModule, RawKernel, cuda streams and "
        "array exchange; compute in CUDA C++, not with cupy functions"
    )
