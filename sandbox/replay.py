"""ATen operations of the candidate, run by the device process on its own memory."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from typing import Any

import torch

from kernelwright.errors import LaunchError, ProtocolError, UnsupportedError
from kernelwright.sandbox.channel import Message
from kernelwright.sandbox.device_memory import DeviceMemory
from kernelwright.sandbox.launch import OpRecord
from kernelwright.sandbox.optrace import trace_ops, written_arguments
from kernelwright.sandbox.replay_checks import check
from kernelwright.sandbox.replayable import operation, without_out
from kernelwright.sandbox.tensor_memory import DTYPES, row_bytes
from kernelwright.sandbox.trees import tensors_of

__all__ = ["Replayer"]

_KINDS = {"dtype": torch.dtype, "layout": torch.layout, "memory_format": torch.memory_format}
_MOST_HELD = 4096  # results that wait for room


class Replayer:
    """Runs operations; their results wait here until the candidate has made room for them."""

    def __init__(self, memory: DeviceMemory) -> None:
        self._memory = memory
        self._held: list[torch.Tensor] = []

    def run(self, message: Message, *, trace: bool) -> tuple[dict[str, Any], list[OpRecord]]:
        """Runs one operation; returns what it gives (tensors as rows that wait for `place`) and what it cost.

        Raises:
            UnsupportedError: not an operation that may run here.
            LaunchError: torch refuses it, its arguments do not belong together, or a tensor is not in this device's memory.
        """
        body = message.body
        name, overload = str(body["name"]), str(body["overload"])
        function = _function(name, overload)
        tensors = [self._tensor(row, message) for row in body["tensors"]]
        args = tuple(_decode(each, tensors) for each in body["args"])
        keywords = {str(key): _decode(each, tensors) for key, each in body["keywords"].items()}
        self._memory.synchronise([t.data_ptr() for t in tensors if t.numel()])
        records: list[OpRecord] = []
        written: list[torch.Tensor] = []
        with torch.no_grad():
            try:
                called = function
                outs: tuple[torch.Tensor, ...] = ()
                if isinstance(function, torch._ops.OpOverload):
                    written = written_arguments(function, args, keywords)
                    args, keywords = _apart(args, written), _apart(keywords, written)
                    called, names = without_out(function)
                    outs = tuple(each for key in names for each in tensors_of(keywords.pop(key)))
                    check(called, args, keywords)
                if trace:
                    result, records = trace_ops(lambda: called(*args, **keywords))
                else:
                    result = called(*args, **keywords)
                if outs:
                    result = _into(outs, result)
            except (RuntimeError, IndexError, TypeError, ValueError, KeyError) as error:
                raise LaunchError(f"torch refuses {name}: {str(error)[:400]}") from error
        for tensor in written:
            if tensor.numel():
                self._memory.mark_written(tensor.data_ptr())
                self._memory.memory.initialised(tensor.data_ptr(), tensor.nbytes)
        made: list[dict[str, Any]] = []
        return {"result": self._describe(result, tensors, made), "made": made}, records

    def _describe(self, result: Any, tensors: list[torch.Tensor], made: list[dict[str, Any]]) -> dict[str, Any]:
        if isinstance(result, torch.Tensor):
            for number, tensor in enumerate(tensors):
                if result is tensor:
                    return {"a": number}
            name = str(result.dtype).removeprefix("torch.")
            if result.layout is not torch.strided or name not in DTYPES:
                raise UnsupportedError(f"an operation gives a tensor of {result.dtype}, {result.layout}.")
            if result.is_conj() or result.is_neg() or not torch.ops.aten.is_non_overlapping_and_dense.default(result):
                result = result.resolve_conj().resolve_neg().contiguous()
            if len(self._held) >= _MOST_HELD:
                raise LaunchError("too many results of operations were never fetched.")
            self._held.append(result)
            made.append({"dtype": name, "shape": list(result.shape), "stride": list(result.stride())})
            return {"t": len(made) - 1}
        if isinstance(result, list | tuple):
            return {"l" if isinstance(result, list) else "u": [self._describe(each, tensors, made) for each in result]}
        if result is None or isinstance(result, bool | int | float):
            self._memory.told(0 if result is None else 8)  # bytes of a Python number
            return {"v": result}
        raise UnsupportedError(f"an operation gives a {type(result).__name__}.")

    def place(self, addresses: list[int]) -> None:
        """Puts the results that wait, in order, where the candidate has made room; 0 for an empty one.

        Raises:
            LaunchError: there is no such room.
        """
        held, self._held = self._held, []
        if len(held) != len(addresses):
            raise ProtocolError("results of an operation do not match the room made for them")
        for tensor, address in zip(held, addresses, strict=True):
            if tensor.nbytes:
                self._memory.make_room(address, tensor.nbytes)
                ctypes.memmove(address, tensor.data_ptr(), tensor.nbytes)

    def drop(self) -> None:
        """Lets go of results that nobody fetched."""
        self._held = []

    def _tensor(self, row: Mapping[str, Any], message: Message) -> torch.Tensor:
        """A tensor over this device's memory, or over what travelled with the message."""
        nbytes = row_bytes(row)
        dtype = getattr(torch, row["dtype"])
        shape, stride = [int(n) for n in row["shape"]], [int(n) for n in row["stride"]]
        if not nbytes:
            return torch.empty_strided(shape, stride, dtype=dtype)
        if "sent" in row:
            sent = message.rows[int(row["sent"])]
            if message.memory is None or row_bytes(sent) != nbytes:
                raise ProtocolError("an operation's tensor did not travel with it")
            own = bytearray(message.memory[int(sent["offset"]) : int(sent["offset"]) + nbytes])
            return torch.frombuffer(own, dtype=dtype).as_strided(shape, stride)
        address = int(row["address"])
        if not self._memory.holds(address, nbytes):
            raise LaunchError("an operation's tensor is not in the device's memory.")
        raw = (ctypes.c_char * nbytes).from_address(address)
        made = torch.frombuffer(raw, dtype=dtype).as_strided(shape, stride)
        if row.get("conj"):
            made = made.conj()
        return torch._neg_view(made) if row.get("neg") else made


def _function(name: str, overload: str) -> Callable[..., Any]:
    if name == "aten::rms_norm":
        return torch.rms_norm  # one kernel on a GPU, and priced as one
    return operation(name, overload)


def _apart(tree: Any, written: list[torch.Tensor]) -> Any:
    """The arguments, with copies of indices and masks that lie where the operation writes: it would read what it wrote."""
    if isinstance(tree, torch.Tensor):
        if tree.is_floating_point() or any(tree is each for each in written):
            return tree
        begin, end = tree.data_ptr(), tree.data_ptr() + tree.untyped_storage().nbytes()
        meets = any(
            begin < each.data_ptr() + each.untyped_storage().nbytes() and each.data_ptr() < end for each in written
        )
        return tree.clone() if meets else tree
    if isinstance(tree, list | tuple):
        return type(tree)(_apart(each, written) for each in tree)
    if isinstance(tree, dict):
        return {key: _apart(each, written) for key, each in tree.items()}
    return tree


def _into(outs: tuple[torch.Tensor, ...], result: Any) -> Any:
    """Copies results to the tensors given as `out`, and returns those."""
    made = tensors_of(result)
    if [each.shape for each in made] != [each.shape for each in outs]:
        raise LaunchError("an operation's out argument has another shape than its result.")
    for out, each in zip(outs, made, strict=True):
        if not torch.can_cast(each.dtype, out.dtype):
            raise LaunchError(
                f"an operation's result of {each.dtype} does not fit into its out argument of {out.dtype}."
            )
        out.copy_(each)
    return outs[0] if len(outs) == 1 else outs


def _decode(given: Any, tensors: list[torch.Tensor]) -> Any:
    ((kind, value),) = given.items()
    if kind == "v" and (value is None or isinstance(value, bool | int | float | str)):
        return value
    if kind == "t":
        return tensors[int(value)]
    if kind == "c":
        return complex(float(value[0]), float(value[1]))
    if kind in ("l", "u"):
        items = [_decode(each, tensors) for each in value]
        return items if kind == "l" else tuple(items)
    if kind == "device":
        return torch.device("cpu")
    if kind in _KINDS:
        found = getattr(torch, str(value), None)
        if isinstance(found, _KINDS[kind]) and (kind != "dtype" or value in DTYPES):
            return found
    raise ProtocolError("an operation's argument is none of ours")
