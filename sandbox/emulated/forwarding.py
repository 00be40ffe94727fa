"""Torch operations of the candidate, run by the device process.

Tensors of a candidate are CPU tensors whose addresses are the device's: what they hold here says nothing. Views and
allocations are made here; an operation that reads a tensor runs over there, and its results get room here. Values come
back only where the code asks for them (`Tensor.item`, `tolist`, `numpy`), and the device process counts those.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from kernelwright.errors import LaunchError
from kernelwright.sandbox.dispatch import DispatchMode
from kernelwright.sandbox.emulated.remote import Link, in_arena
from kernelwright.sandbox.optrace import decomposed, is_free, is_idle_dropout, written_arguments
from kernelwright.sandbox.tensor_memory import DTYPES, extent
from kernelwright.sandbox.trees import tensors_of

__all__ = ["Forwarding", "at_home", "describe", "to_device"]

_READS = frozenset(
    {"numpy", "tolist", "__array__", "__dlpack__", "__repr__", "__format__", "__reduce_ex__", "__deepcopy__"}
)
"""Methods that look at a tensor's memory without any operation."""
_SKIPPED = frozenset({"_assert_async", "_assert_scalar", "_assert_tensor_metadata"})
_FILLS = frozenset({"zero_", "fill_"})


class at_home:
    """A block in which torch works on this process's memory, as without any mode."""

    def __enter__(self) -> None:
        self._functions = torch._C.DisableTorchFunction()
        self._functions.__enter__()
        self._dispatch = torch.utils._python_dispatch._disable_current_modes()
        self._dispatch.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._dispatch.__exit__(*error)
        self._functions.__exit__(*error)


class _Foreign(Exception):
    """An argument that can't travel."""


def describe(tensor: torch.Tensor) -> dict[str, Any]:
    """Where a tensor lies and what it is, as the device process reads it."""
    return {
        "address": tensor.data_ptr() if tensor.numel() else 0,
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "stride": list(tensor.stride()),
        **({"conj": True} if tensor.is_conj() else {}),
        **({"neg": True} if tensor.is_neg() else {}),
    }


def _address_and_bytes(tensor: torch.Tensor) -> tuple[int, int]:
    """Address and bytes of a tensor with elements."""
    return tensor.data_ptr(), extent(tensor.shape, tensor.stride()) * tensor.element_size()


def _plain(tensor: torch.Tensor) -> bool:
    """Whether it has elements in memory that an address and strides describe."""
    return tensor.layout is torch.strided and tensor.device.type == "cpu" and tensor.numel() > 0


def to_device(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in device memory: itself if it lies there, else a copy."""
    if not _plain(tensor) or in_arena(tensor.data_ptr()):
        return tensor
    with at_home():
        return tensor.detach().clone()


class Forwarding:
    """The two modes, and what they share.

    `in_call`: whether the judge's inputs are there. Outside of a call (while the model is constructed) operations run
    here as long as the device has had none of their tensors, so that random weights are those of torch's own generator.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self.in_call = False
        self._functions = _Functions(self)
        self._dispatch = _Dispatch(self)

    def __enter__(self) -> Forwarding:
        self._functions.__enter__()
        self._dispatch.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._dispatch.__exit__(*error)
        self._functions.__exit__(*error)

    def is_remote(self, tensor: torch.Tensor) -> bool:
        """Whether what the tensor holds is the device's to know."""
        if not _plain(tensor) or not in_arena(tensor.data_ptr()):
            return False
        held = self.link.allocator.holds(tensor.data_ptr())
        return not held or self.link.allocator.on_device(tensor.data_ptr())  # not held: an input

    def pull(self, tensors: Sequence[torch.Tensor]) -> None:
        """Brings what tensors hold to this process's memory."""
        ranges = [list(_address_and_bytes(t)) for t in tensors if self.is_remote(t)]
        if ranges:
            self.link.ask("pull", ranges=ranges)

    def operation(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One operation, below all modes."""
        name = func.overloadpacket.__name__
        if name in _SKIPPED:
            return None
        tensors = [t for t in tensors_of((args, kwargs)) if isinstance(t, torch.Tensor)]
        if is_free(func) or not any(_plain(t) and in_arena(t.data_ptr()) for t in tensors):
            return func(*args, **kwargs)
        if name.endswith("_like") or name.startswith("new_"):
            return func(*args, **kwargs)  # it asks only for the size
        if not self.in_call and not any(self.is_remote(t) for t in tensors):
            return func(*args, **kwargs)
        if name == "_local_scalar_dense":
            return self._scalar(args[0])
        if name in _FILLS and (filled := self._fill(func, args, kwargs)) is not None:
            return filled
        try:
            return self.forward(func.name().split(".")[0], func._overloadname, args, kwargs, tensors, func)
        except _Foreign:
            return self._here(func, args, kwargs, tensors)

    def _here(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
        """Runs an operation in this process, on what the device has."""
        self.pull(tensors)
        result = func(*args, **kwargs)
        written = [t for t in written_arguments(func, args, kwargs) if _plain(t) and in_arena(t.data_ptr())]
        if any(not self.link.allocator.holds(t.data_ptr()) for t in written):
            raise LaunchError(f"{func} can't write to an input of the call on the emulated GPU.")
        if written:
            self.link.ask("wrote", addresses=[t.data_ptr() for t in written])
            for tensor in written:
                self.link.allocator.mark(tensor.data_ptr(), on_device=False)
        return result

    def _scalar(self, tensor: torch.Tensor) -> Any:
        found = self.link.ask("scalar", address=tensor.data_ptr(), count=tensor.element_size()).body["bytes"]
        value = torch.frombuffer(bytearray(base64.b64decode(found)), dtype=tensor.dtype)[0]
        if tensor.is_conj():
            value = value.conj()
        return (-value if tensor.is_neg() else value).item()

    def _fill(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
        """`zero_` and `fill_` with a number, of memory without gaps: the device needs no torch for it."""
        tensor = args[0]
        value = 0 if func.overloadpacket.__name__ == "zero_" else (args[1] if len(args) > 1 else kwargs["value"])
        dense = torch.ops.aten.is_non_overlapping_and_dense.default(tensor)
        if isinstance(value, torch.Tensor) or not dense or not in_arena(tensor.data_ptr()) or tensor.is_conj():
            return None
        address, count = _address_and_bytes(tensor)
        element = torch.full((1,), value, dtype=tensor.dtype).view(torch.uint8).numpy().tobytes()
        self.link.allocator.mark(address)
        self.link.ask("fill", address=address, count=count, pattern=base64.b64encode(element).decode())
        made: torch.Tensor = tensor
        return made

    def forward(
        self, name: str, overload: str, args: tuple[Any, ...], kwargs: Mapping[str, Any],
        tensors: list[torch.Tensor], func: Any = None,
    ) -> Any:  # fmt: skip
        """Has the device process run an operation."""
        written = [] if func is None else written_arguments(func, args, dict(kwargs))
        if any(not in_arena(t.data_ptr()) for t in written if _plain(t)):
            raise _Foreign
        rows: list[dict[str, Any]] = []
        known: dict[int, int] = {}
        sent: list[torch.Tensor] = []

        def encode(value: Any) -> Any:
            if value is None or isinstance(value, bool | int | float | str):
                return {"v": value}
            if isinstance(value, torch.Tensor):
                if id(value) not in known:
                    known[id(value)] = len(rows)
                    rows.append(self._row(value, sent))
                return {"t": known[id(value)]}
            if isinstance(value, complex):
                return {"c": [value.real, value.imag]}
            if isinstance(value, list | tuple):
                return {"l" if isinstance(value, list) else "u": [encode(each) for each in value]}
            if isinstance(value, torch.device):
                return {"device": "cpu"}
            for kind in ("dtype", "layout", "memory_format"):
                if isinstance(value, getattr(torch, kind)):
                    return {kind: str(value).removeprefix("torch.")}
            raise _Foreign

        encoded = [encode(each) for each in args]
        keywords = {key: encode(each) for key, each in kwargs.items()}
        given = {number: tensor for tensor in tensors if (number := known.get(id(tensor))) is not None}
        answer = self.link.ask(
            "operation", sent or None, name=name, overload=overload, args=encoded, keywords=keywords, tensors=rows
        ).body
        for tensor in written:
            if _plain(tensor):
                self.link.allocator.mark(tensor.data_ptr())
        made = [
            torch.empty_strided(row["shape"], row["stride"], dtype=getattr(torch, row["dtype"]))
            for row in answer["made"]
        ]
        if made:
            self.link.place([t.data_ptr() if t.numel() else 0 for t in made])
            for tensor in made:
                self.link.allocator.mark(tensor.data_ptr())
        return _decode(answer["result"], made, given)

    def _row(self, tensor: torch.Tensor, sent: list[torch.Tensor]) -> dict[str, Any]:
        if tensor.layout is not torch.strided or str(tensor.dtype).removeprefix("torch.") not in DTYPES:
            raise _Foreign
        row = describe(tensor)
        if tensor.numel() and not in_arena(tensor.data_ptr()):
            plain = tensor.detach().resolve_conj().resolve_neg()
            row = describe(plain)
            row["sent"] = len(sent)
            sent.append(plain)
        return row


def _decode(tree: Mapping[str, Any], made: list[torch.Tensor], given: Mapping[int, torch.Tensor]) -> Any:
    ((kind, value),) = tree.items()
    if kind == "t":
        return made[value]
    if kind == "a":
        return given[value]
    if kind in ("l", "u"):
        items = [_decode(each, made, given) for each in value]
        return items if kind == "l" else tuple(items)
    return value


class _Dispatch(DispatchMode):
    """Sees every ATen operation of this thread, from C++ too."""

    def __init__(self, owner: Forwarding) -> None:
        super().__init__()
        self._owner = owner

    def dispatch(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not isinstance(func, torch._ops.OpOverload):
            return func(*args, **kwargs)
        if is_idle_dropout(func, args, kwargs):
            return args[0]
        if torch.is_inference_mode_enabled():
            with self:
                parts = decomposed(func, args, kwargs)
            if parts is not NotImplemented:
                return parts
        return self._owner.operation(func, args, kwargs)


class _Functions(TorchFunctionMode):
    """Sees what is no operation, or several on a CPU but one on a GPU."""

    def __init__(self, owner: Forwarding) -> None:
        super().__init__()
        self._owner = owner

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        keywords = dict(kwargs or {})
        if func in (torch.rms_norm, torch.nn.functional.rms_norm) and self._owner.in_call:
            with at_home():
                tensors = tensors_of((args, keywords))
                if any(self._owner.is_remote(t) for t in tensors):
                    keywords = {key: value for key, value in keywords.items() if value is not None}
                    shape = keywords.pop("normalized_shape", None)
                    given = args if shape is None else (*args, list(shape))
                    return self._owner.forward("aten::rms_norm", "default", given, keywords, tensors)
        if getattr(func, "__name__", "") in _READS and args and isinstance(args[0], torch.Tensor):
            with at_home():
                self._owner.pull([args[0]])
                return func(*args, **keywords)
        return func(*args, **keywords)
