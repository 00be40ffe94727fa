"""ATen operations of the candidate, run by the device process on its own memory."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import torch

from kernelwright.errors import LaunchError, ProtocolError, UnsupportedError
from kernelwright.sandbox import arena
from kernelwright.sandbox.channel import DTYPES, Message, row_bytes
from kernelwright.sandbox.device_memory import DeviceMemory
from kernelwright.sandbox.launch import OpRecord
from kernelwright.sandbox.optrace import record_of, written_arguments
from kernelwright.sandbox.trees import tensors_of

__all__ = ["replay"]

_FORBIDDEN = ("_unsafe", "from_file", "set_", "resize_", "_resize", "_cuda", "_foreach", "record_stream", "_pin", "_index_put_impl")
"""Beginnings of names of operations that reach beyond their arguments' memory, or that nobody needs here."""
_KINDS = {
    "dtype": torch.dtype,
    "layout": torch.layout,
    "memory_format": torch.memory_format,
}


def replay(message: Message, memory: DeviceMemory) -> OpRecord:
    """Runs one operation; its results go to the addresses that the candidate made room at.

    Raises:
        UnsupportedError: not an operation that may run here.
        LaunchError: torch refuses it, or a tensor is not in this device's memory.
    """
    body = message.body
    function = _function(str(body["name"]), str(body["overload"]))
    tensors = [_tensor(row, memory, message) for row in body["tensors"]]
    args = [_decode(each, tensors) for each in body["args"]]
    keywords = {str(key): _decode(each, tensors) for key, each in body["keywords"].items()}
    memory.synchronise([t.data_ptr() for t in tensors if t.numel()])
    with torch.no_grad():
        try:
            result = function(*args, **keywords)
        except (RuntimeError, IndexError, TypeError, ValueError, NotImplementedError) as error:
            raise LaunchError(f"torch refuses {function}: {str(error)[:400]}") from error
    written = written_arguments(function, tuple(args), keywords)
    made = [t for t in tensors_of(result) if not any(t is other for other in written)]
    rows = body["results"]
    if len(rows) != (0 if written else len(made)):
        raise ProtocolError("an operation's results do not match the room made for them")
    for tensor in written:
        memory.mark_written(tensor.data_ptr())
    for tensor, row in zip(made, rows, strict=False):
        room = _tensor(row, memory, message)
        if room.shape != tensor.shape or room.dtype != tensor.dtype:
            raise LaunchError(
                f"{function} gives {tuple(tensor.shape)} {tensor.dtype} where {tuple(room.shape)} {room.dtype} was foreseen."
            )
        if room.numel():
            room.copy_(tensor)
            memory.mark_written(room.data_ptr())
            memory.memory.initialised(room.data_ptr(), row_bytes(row))
    return record_of(function, tuple(args), keywords, result)


def _function(name: str, overload: str) -> Any:
    space, _, plain = name.partition("::")
    if space != "aten" or plain.startswith(_FORBIDDEN) or not plain.replace("_", "").isalnum():
        raise UnsupportedError(f"the operation {name} can't run on the emulated GPU.")
    try:
        return getattr(getattr(torch.ops.aten, plain), overload)
    except AttributeError as error:
        raise UnsupportedError(f"there is no operation {name}.{overload}.") from error


def _tensor(row: Mapping[str, Any], memory: DeviceMemory, message: Message) -> torch.Tensor:
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
    if not memory.holds(address, nbytes) or not arena.BASE <= address < arena.BASE + arena.SIZE:
        raise LaunchError("an operation's tensor is not in the device's memory.")
    raw = (ctypes.c_char * nbytes).from_address(address)
    return torch.frombuffer(raw, dtype=dtype).as_strided(shape, stride)


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
