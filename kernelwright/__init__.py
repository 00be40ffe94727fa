"""Hand in a PyTorch module, get back an optimised CUDA kernel that you can trust.

`optimize` and `verify` are the two calls most people need; everything else lives in the sub-packages. Importing
this package loads nothing heavy: `torch` comes with the first call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernelwright.api import OptimizeResult, optimize, recheck, verify

__all__ = ["OptimizeResult", "__version__", "optimize", "recheck", "verify"]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name in {"OptimizeResult", "optimize", "recheck", "verify"}:
        from kernelwright import api

        return getattr(api, name)
    raise AttributeError(f"module 'kernelwright' has no attribute {name!r}")
