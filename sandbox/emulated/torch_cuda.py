"""Lets code written for a GPU run on CPU tensors: `.cuda()`, `device="cuda"`, streams and events map to the CPU.

`install` patches torch in this process; only worker processes call it.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["install"]

Place = Callable[[torch.Tensor], torch.Tensor]


def _on_cpu(device: Any) -> Any:
    """A device argument with `cuda` replaced by `cpu`."""
    if isinstance(device, str) and device.split(":")[0] == "cuda":
        return "cpu"
    if isinstance(device, torch.device) and device.type == "cuda":
        return torch.device("cpu")
    return device


class _CudaIsCpu(TorchFunctionMode):
    """Rewrites device arguments of every torch function called from Python; what goes to the GPU, `place` moves."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._place = place

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        keywords = {key: _on_cpu(value) if key == "device" else value for key, value in given.items()}
        moved = keywords.get("device") is not given.get("device")
        if getattr(func, "__name__", "") == "to":
            mapped = tuple(_on_cpu(arg) for arg in args)
            moved = moved or any(one is not two for one, two in zip(args, mapped, strict=True))
            args = mapped
        made = func(*args, **keywords)
        return self._place(made) if moved and isinstance(made, torch.Tensor) else made


class _Stream:
    """A stream on which everything has already happened."""

    cuda_stream = 0
    device = torch.device("cpu")
    device_index = 0
    ptr = 0

    def __init__(self, *_args: Any, **_keywords: Any) -> None:
        pass

    def synchronize(self) -> None:
        """Nothing is pending."""

    wait_stream = wait_event = record_event = lambda self, *_args: None

    def query(self) -> bool:
        """Whether all work is done: always."""
        return True

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Event:
    """An event with the wall clock of this process; the judge never reads it."""

    def __init__(self, *_args: Any, **_keywords: Any) -> None:
        self._at = 0.0

    def record(self, _stream: Any = None) -> None:
        """Notes the time."""
        self._at = time.perf_counter()

    def synchronize(self) -> None:
        """Nothing is pending."""

    def query(self) -> bool:
        """Whether the event has happened: always."""
        return True

    def wait(self, _stream: Any = None) -> None:
        """Nothing is pending."""

    def elapsed_time(self, other: _Event) -> float:
        """Milliseconds between two events."""
        return (other._at - self._at) * 1e3


class _DeviceGuard:
    """`torch.cuda.device(...)`: nothing to switch."""

    def __init__(self, *_args: Any) -> None:
        pass

    def __enter__(self) -> _DeviceGuard:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Generator(torch.Generator):
    """`torch.Generator(device="cuda")`: one of the CPU."""

    def __new__(cls, device: Any = "cpu") -> _Generator:
        return super().__new__(cls, _on_cpu(device))  # type: ignore[call-arg]


def _stay(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


@functools.cache
def install(place: Place = _stay) -> None:
    """Patches torch in this process, once.

    Args:
        place: gives the tensor in device memory for one that is sent to the GPU.
    """
    cuda: Any = torch.cuda
    tensor: Any = torch.Tensor
    cuda.is_available = lambda: True
    cuda.device_count = lambda: 1
    cuda.current_device = lambda: 0
    for name in ("set_device", "synchronize", "empty_cache", "init"):
        # one function each: torch._dynamo refuses to load when two names with different rules are the same object
        setattr(cuda, name, lambda *_args, **_keywords: None)
    cuda.get_device_name = lambda *_args: "Kernelwright emulator"
    cuda.current_stream = cuda.default_stream = _Stream
    cuda.Stream = _Stream
    cuda.Event = _Event
    cuda.stream = lambda stream: stream or _Stream()
    cuda.device = _DeviceGuard
    tensor.cuda = lambda self, *_args, **_keywords: place(self)
    tensor.is_cuda = property(lambda _self: True)
    torch.nn.Module.cuda = lambda self, *_args, **_keywords: self  # type: ignore[method-assign]
    torch.Generator = _Generator  # type: ignore[misc]
    _CudaIsCpu(place).__enter__()
