"""Seeing every operation of torch, without its compiler: a process of ours is one import of torch old when it answers.

Torch wraps `__torch_dispatch__` of every mode so that `torch.compile` leaves it alone, and the first operation under
that wrapper imports torch._dynamo with sympy: 1.2 s of CPU, in every reference and every candidate.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["DispatchMode"]


class DispatchMode(TorchDispatchMode):
    """While active, hands every ATen operation of this thread to `dispatch`, from C++ too."""

    _wrapped = False
    """Whether torch's compiler has been told to leave `dispatch` alone: once something else has loaded it."""

    def dispatch(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of `func(*args, **kwargs)`; the mode is not active inside."""
        raise NotImplementedError

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return self.dispatch(func, args, dict(kwargs or {}))

    def __enter__(self) -> Self:
        if not DispatchMode._wrapped and "torch._dynamo" in sys.modules:
            DispatchMode.__torch_dispatch__ = torch.compiler.disable(DispatchMode.__torch_dispatch__)  # type: ignore[method-assign]
            DispatchMode._wrapped = True
        super().__enter__()
        return self

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch's own wrapper is left out
