"""A task at full size without its memory: shapes and ATen operations of one call, run on fake tensors.

Runs in worker processes: standard library and torch only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from kernelwright.sandbox.dispatch import DispatchMode
from kernelwright.sandbox.launch import OpRecord
from kernelwright.sandbox.optrace import is_free, record_of

__all__ = ["fake_tensors", "fake_trace"]


def fake_tensors() -> FakeTensorMode:
    """A context in which whatever torch makes has a shape and no memory."""
    return FakeTensorMode(allow_non_fake_inputs=True)


def fake_trace(call: Callable[[], Any]) -> tuple[Any, list[OpRecord]]:
    """Runs `call` inside of `fake_tensors`; its result, and a record for every operation that moves data.

    `call` may raise anything: whatever depends on values (`item()`, `nonzero()`) has none.
    """
    recorder = _Recorder()
    with recorder:
        result = call()
    return result, recorder.records


class _Recorder(DispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[OpRecord] = []

    def dispatch(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        out = func(*args, **kwargs)
        if isinstance(func, torch._ops.OpOverload) and not is_free(func):
            self.records.append(record_of(func, args, kwargs, out))
        return out
