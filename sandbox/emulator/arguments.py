"""Launch arguments, as CuPy takes them, into a kernel's parameter buffer."""

from __future__ import annotations

import ctypes
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kernelwright.errors import LaunchError
from kernelwright.sandbox.emulator.lower import ParamSlot

__all__ = ["Packed", "pack_arguments", "parameter_names"]

_FLOAT_NAMES = {"f32": "float", "f64": "double", "f16": "__half", "bf16": "__nv_bfloat16"}


@dataclass(frozen=True)
class Packed:
    """A parameter buffer, and the NumPy arrays whose memory the launch may touch, with their parameters' names."""

    data: bytes
    arrays: tuple[tuple[np.ndarray, str], ...]


def parameter_names(source: str, kernel: str, count: int) -> tuple[str, ...]:
    """The parameters' names as the CUDA source spells them; `argument 1`, ... where they can't be found."""
    fallback = tuple(f"argument {i + 1}" for i in range(count))
    plain = re.sub(r"//[^\n]*|/\*.*?\*/", " ", source, flags=re.DOTALL)
    base = re.match(r"_Z(?:N\w*?)?(\d+)(\w+)", kernel)
    name = base[2][: int(base[1])] if base else kernel
    for match in re.finditer(rf"__global__[^;{{}}]*?\b{re.escape(name)}\s*\(", plain):
        depth, at, begin = 1, match.end(), match.end()
        parts = []
        while at < len(plain) and depth:
            depth += (plain[at] in "(<[") - (plain[at] in ")>]")
            if (depth == 1 and plain[at] == ",") or depth == 0:
                parts.append(plain[begin:at])
                begin = at + 1
            at += 1
        found = [re.search(r"(\w+)\s*(?:\[[^\]]*\]\s*)*(?:=[^=]*)?$", part.strip()) for part in parts]
        if len(found) == count and all(found):
            return tuple(f[1] for f in found if f)
    return fallback


def pack_arguments(
    kernel: str, params: Sequence[ParamSlot], size: int, args: Sequence[object], names: Sequence[str]
) -> Packed:
    """Fills the parameter buffer.

    Raises:
        LaunchError: the wrong number of arguments, or one that does not fit its parameter.
    """
    if len(args) != len(params):
        listed = ", ".join(names) or "none"
        raise LaunchError(f"kernel {kernel} takes {len(params)} arguments ({listed}); {len(args)} were given")
    data = bytearray(size)
    arrays: list[tuple[np.ndarray, str]] = []
    for param, value, name in zip(params, args, names, strict=True):
        raw, array = _encode(param, value, f"argument `{name}` of kernel {kernel}")
        data[param.offset : param.offset + len(raw)] = raw
        if array is not None:
            arrays.append((array, name))
    return Packed(bytes(data), tuple(arrays))


def _encode(param: ParamSlot, value: object, what: str) -> tuple[bytes, np.ndarray | None]:
    if value is None:
        return _pointer(param, 0, what), None
    if isinstance(value, np.ndarray):
        return _pointer(param, value.ctypes.data, what), value
    if isinstance(value, np.generic):
        return _numpy_scalar(param, value, what), None
    if isinstance(value, bool | int):
        return _integer(param, int(value), what), None
    if isinstance(value, float):
        return _double(param, value, what), None
    if isinstance(value, bytes | bytearray | memoryview):
        return _raw(param, bytes(value), what), None
    if isinstance(value, ctypes.Structure | ctypes.Array | ctypes._SimpleCData):
        return _raw(param, bytes(memoryview(value).cast("B")), what), None
    if callable(data_ptr := getattr(value, "data_ptr", None)):
        return _pointer(param, int(data_ptr()), what), None
    for attribute in ("__cuda_array_interface__", "__array_interface__"):
        if isinstance(interface := getattr(value, attribute, None), dict):
            return _pointer(param, int(interface["data"][0]), what), None
    raise LaunchError(
        f"{what} is a {type(value).__name__}, which can't be passed to a kernel",
        mend="Pass an integer, a float, a NumPy scalar, an array or a tensor.",
    )


def _pointer(param: ParamSlot, address: int, what: str) -> bytes:
    if param.bytes != 8 or param.type in ("f64", "b8"):
        raise LaunchError(f"{what} is an array, but the kernel's parameter is {_spelled(param)}")
    return address.to_bytes(8, "little")


def _integer(param: ParamSlot, value: int, what: str) -> bytes:
    if param.type in _FLOAT_NAMES:
        raise LaunchError(
            f"{what} is a Python int, but the kernel's parameter is {_spelled(param)}: its bits would be misread",
            mend="Pass numpy.float32(...) for a float and a Python float for a double.",
        )
    if param.bytes > 8 or param.type == "b8":
        raise LaunchError(f"{what} is a Python int, but the kernel's parameter is {_spelled(param)}")
    bits = 8 * param.bytes
    if not -(1 << (bits - 1)) <= value < 1 << bits:
        raise LaunchError(f"{what} is {value}, which does not fit the kernel's parameter of {param.bytes} bytes")
    return (value & ((1 << bits) - 1)).to_bytes(param.bytes, "little")


def _double(param: ParamSlot, value: float, what: str) -> bytes:
    if param.bytes != 8 or param.type not in ("f64", "b64"):
        raise LaunchError(
            f"{what} is a Python float, which is passed as an 8-byte double, but the kernel's parameter is {_spelled(param)}",
            mend="Pass numpy.float32(...) for a float parameter.",
        )
    return struct.pack("<d", value)


def _numpy_scalar(param: ParamSlot, value: np.generic, what: str) -> bytes:
    raw = value.tobytes()
    if isinstance(value, np.void):
        return _raw(param, raw, what)
    is_float = np.issubdtype(value.dtype, np.floating)
    if len(raw) != param.bytes or (param.type in _FLOAT_NAMES) != (is_float or param.type in ("f16", "bf16")):
        if len(raw) == param.bytes and param.type in ("b8", "b16", "b32", "b64"):
            return raw
        raise LaunchError(
            f"{what} is a numpy.{value.dtype} ({len(raw)} bytes), but the kernel's parameter is {_spelled(param)}"
        )
    return raw


def _raw(param: ParamSlot, raw: bytes, what: str) -> bytes:
    if len(raw) != param.bytes:
        raise LaunchError(f"{what} has {len(raw)} bytes, but the kernel's parameter is {_spelled(param)}")
    return raw


def _spelled(param: ParamSlot) -> str:
    if param.type in _FLOAT_NAMES and param.bytes == 8 * ("64" in param.type) + 4 * ("32" in param.type):
        return f"a {_FLOAT_NAMES[param.type]} ({param.bytes} bytes)"
    if param.type == "b8" or param.bytes > 8:
        return f"a struct of {param.bytes} bytes"
    return f"an integer or pointer of {param.bytes} bytes"
