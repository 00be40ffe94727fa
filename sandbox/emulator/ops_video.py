"""C++ for the video instructions: bytes and half-words picked out of registers, one at a time or in parallel (PTX ISA 9.7.18)."""

from __future__ import annotations

from kernelwright.sandbox.emulator.alu import AluEmitter, refuse
from kernelwright.sandbox.emulator.ptx import Imm, Instr

__all__ = ["SCALAR_VIDEO", "SIMD_VIDEO", "multiply_add_video", "scalar_video", "simd_video"]

_OPS = {
    "add": "ADD",
    "sub": "SUB",
    "avrg": "AVERAGE",
    "absdiff": "DISTANCE",
    "min": "MIN",
    "max": "MAX",
    "shl": "SHL",
    "shr": "SHR",
}
_COMPARE = ("eq", "ne", "lt", "le", "gt", "ge")
_SECOND = {"add": 1, "min": 2, "max": 3}

SIMD_VIDEO = tuple(f"v{name}{n}" for name in ("add", "sub", "avrg", "absdiff", "min", "max", "set") for n in (2, 4))
"""Opcodes on two half-words or four bytes."""

SCALAR_VIDEO = tuple(f"v{name}" for name in ("add", "sub", "absdiff", "min", "max", "shl", "shr", "set"))
"""Opcodes on one byte, half-word or word of each operand."""


def _part(instr: Instr, operand: str) -> str:
    return next((m[2:] for m in instr.mods if m.startswith(f"{operand}:") and m != f"{operand}:-"), "")


def _flags(instr: Instr, *names: str) -> list[str]:
    return [str(name in instr.mods).lower() for name in names]


def _signs(instr: Instr, count: int) -> list[str]:
    types = [m for m in instr.mods if m in ("u32", "s32")]
    if len(types) != count:
        refuse(instr)
    return [str(t == "s32").lower() for t in types]


def _operation(instr: Instr, name: str) -> str:
    if name != "set":
        return _OPS[name]
    return next(m for m in instr.mods if m in _COMPARE).upper()


def _fields(instr: Instr, operand: str, letter: str, count: int, default: int) -> int:
    """A selector such as `h32` as a number with one hexadecimal digit for each field, the lowest field last."""
    part = _part(instr, operand)
    if not part:
        return default
    if part[0] != letter or len(part) != count + 1 or not all(d.isdigit() and int(d) < 2 * count for d in part[1:]):
        refuse(instr)
    return int(part[1:], 16)


def simd_video(e: AluEmitter, instr: Instr) -> None:
    """`vadd2`, `vset4` and their kin."""
    name, count = instr.op[1:-1], int(instr.op[-1])
    signs = _signs(instr, 2 if name == "set" else 3)
    to, a, b = signs if name != "set" else ("false", *signs)
    letter, default = ("h", 0x10) if count == 2 else ("b", 0x3210)
    sat, total = _flags(instr, "sat", "add")
    mask = _part(instr, "d") or f"{letter}{default:x}"
    if mask[0] != letter or not all(digit.isdigit() and int(digit) < count for digit in mask[1:]):
        refuse(instr)
    bits = sum(1 << int(digit) for digit in set(mask[1:]))
    second = default + (0x22 if count == 2 else 0x4444)
    from_a, from_b = _fields(instr, "a", letter, count, default), _fields(instr, "b", letter, count, second)
    function = (
        f"simd_video<VIDEO_{_operation(instr, name)}, {32 // count}, {a}, {b}, {to}, {sat}, {total}, "
        f"{from_a:#x}, {from_b:#x}, {bits}>"
    )
    e.each(function, *instr.operands, bits=32)


def _scalar_part(instr: Instr, operand: str) -> tuple[int, int]:
    """(first bit, bits) of a byte, a half-word, or the whole."""
    part = _part(instr, operand)
    if not part:
        return 0, 32
    bits = {"b": 8, "h": 16}[part[0]]
    first = bits * int(part[1:])
    if first >= 32:
        refuse(instr)
    return first, bits


def _parts(instr: Instr) -> str:
    return ", ".join(f"{first}, {bits}" for first, bits in (_scalar_part(instr, name) for name in "abd"))


def scalar_video(e: AluEmitter, instr: Instr) -> None:
    """`vadd`, `vshl`, `vset` and their kin; without a third operand nothing is combined with the result."""
    name = instr.op[1:]
    signs = _signs(instr, 2 if name == "set" else 3)
    to, a, b = signs if name != "set" else ("false", *signs)
    second = next((_SECOND[m] for m in instr.mods if m in _SECOND), 0)
    (sat, clamp) = _flags(instr, "sat", "clamp")
    target, *sources = instr.operands
    c = sources[2] if len(sources) > 2 else Imm(0)
    function = (
        f"scalar_video<VIDEO_{_operation(instr, name)}, {a}, {b}, {to}, {sat}, {clamp}, {second}, {_parts(instr)}>"
    )
    e.each(function, target, *sources[:2], c, bits=32)


def multiply_add_video(e: AluEmitter, instr: Instr) -> None:
    """`vmad`."""
    to, a, b = _signs(instr, 3)
    negate = [f"{name}:-" in instr.mods for name in "abc"]
    product, addend = negate[0] != negate[1], negate[2]
    signed = "true" in (a, b) or product or addend
    if signed != (to == "true"):
        refuse(instr)
    (sat, plus_one) = _flags(instr, "sat", "po")
    scale = 7 if "shr7" in instr.mods else 15 if "shr15" in instr.mods else 0
    flags = f"{str(product).lower()}, {str(addend).lower()}, {plus_one}, {sat}, {scale}"
    e.each(f"multiply_add_video<{a}, {b}, {to}, {flags}, {_parts(instr)}>", *instr.operands, bits=32)
