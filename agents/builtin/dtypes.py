"""dtypes: C types, sizes, categories and torch's promotion between them.

Kernels store every dtype named here and compute in a smaller set: float16 and bfloat16 are read into float and
rounded once when stored, so a fused kernel rounds less often than eager torch does.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterable

from kernelwright.agents.builtin.errors import NotLowered

__all__ = ["C_TYPE", "SIZE", "category", "literal", "promote", "value_dtype"]

C_TYPE = {
    "float32": "float",
    "float64": "double",
    "float16": "__half",
    "bfloat16": "__nv_bfloat16",
    "int64": "long long",
    "int32": "int",
    "int16": "short",
    "int8": "signed char",
    "uint8": "unsigned char",
    "bool": "bool",
}
SIZE = {
    "float32": 4,
    "float64": 8,
    "float16": 2,
    "bfloat16": 2,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}
"""Bytes."""
_RANK = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64")


def category(dtype: str) -> int:
    """0 for bool, 1 for integers, 2 for floating point, as torch's promotion sees them.

    Raises:
        NotLowered: a dtype that no kernel here handles (complex, float8, ...).
    """
    if dtype not in C_TYPE:
        raise NotLowered(f"dtype {dtype}")
    if dtype == "bool":
        return 0
    return 2 if "float" in dtype else 1


def value_dtype(dtype: str) -> str:
    """The dtype a value is held in inside a kernel: float32 for the two half types, else itself."""
    category(dtype)
    return "float32" if dtype in ("float16", "bfloat16") else dtype


def _common(dtypes: Iterable[str]) -> str:
    found = list(dtypes)
    result = found[0]
    for dtype in found[1:]:
        if {result, dtype} == {"float16", "bfloat16"}:
            result = "float32"
        elif {result, dtype} == {"uint8", "int8"}:
            result = "int16"
        elif _RANK.index(dtype) > _RANK.index(result):
            result = dtype
    return result


def promote(tensors: Iterable[tuple[str, int]], scalars: Iterable[bool | int | float] = ()) -> str:
    """The dtype in which torch combines tensors (dtype, number of dimensions) with Python numbers.

    Tensors with dimensions come first, then those without, then numbers: a later group counts only when its category is
    higher.
    """
    groups: tuple[list[str], list[str], list[str]] = ([], [], [])
    for dtype, rank in tensors:
        groups[0 if rank else 1].append(dtype)
    for number in scalars:
        groups[2].append("bool" if isinstance(number, bool) else "int64" if isinstance(number, int) else "float32")
    result: str | None = None
    for group in groups:
        if not group:
            continue
        dtype = _common(group)
        if result is None or category(dtype) > category(result):
            result = dtype
    if result is None:
        raise NotLowered("an operation on no tensor")
    return result


def literal(value: bool | int | float, dtype: str) -> str:
    """A C++ literal of the value dtype; infinities and NaN need no header."""
    dtype = value_dtype(dtype)
    if dtype == "bool":
        return "true" if value else "false"
    if dtype in ("float32", "float64"):
        number = float(value)
        kind = C_TYPE[dtype]
        if math.isnan(number):
            return (
                f"{'__int_as_float(0x7fc00000)' if kind == 'float' else '__longlong_as_double(0x7ff8000000000000LL)'}"
            )
        if dtype == "float32" and math.isfinite(number) and abs(number) > 3.4028235677973366e38:
            number = math.copysign(math.inf, number)
        if math.isinf(number):
            text = "__int_as_float(0x7f800000)" if kind == "float" else "__longlong_as_double(0x7ff0000000000000LL)"
            return f"-{text}" if number < 0 else text
        if dtype == "float32":
            # The shortest decimal that reads back as the same float keeps the source readable.
            text = _shortest_float32(number)
            return f"{text}f"
        text = repr(number)
        return text if "." in text or "e" in text else f"{text}.0"
    whole = int(value)
    if dtype == "int64":
        return f"(-{2**63 - 1}LL - 1)" if whole == -(2**63) else f"{whole}LL"
    if dtype == "int32" and whole == -(2**31):
        return f"(-{2**31 - 1} - 1)"
    return str(whole)


def _shortest_float32(number: float) -> str:
    target = ctypes.c_float(number).value  # unlike struct, it rounds what is just above the largest float to infinity
    for digits in range(1, 10):
        text = f"{number:.{digits}g}"
        if ctypes.c_float(float(text)).value == target:
            break
    return text if "." in text or "e" in text or "inf" in text else f"{text}.0"
