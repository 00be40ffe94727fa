"""What many instructions share: lane widths, rounding, .ftz and .sat, 16-bit operands, packed halves."""

from __future__ import annotations

from kernelwright.sandbox.emulator.alu import AluEmitter, refuse
from kernelwright.sandbox.emulator.ptx import TYPE_BYTES, Instr, Operand

__all__ = [
    "HALVES",
    "PAIRS",
    "ROUNDINGS",
    "extend16",
    "f32_operand",
    "float_op",
    "ftz_name",
    "half_op",
    "is_half",
    "lane_bits",
    "rounding_mode",
]

ROUNDINGS = ("rn", "rz", "rm", "rp")


HALVES = ("f16", "bf16")


PAIRS = {"f16x2": "f16", "bf16x2": "bf16"}


def lane_bits(type_: str) -> int:
    return 64 if TYPE_BYTES[type_] == 8 else 32


def f32_operand(e: AluEmitter, operand: Operand | None, ftz: bool) -> str:
    value = e.b32(operand)
    return f"ftz({value})" if ftz else value


def rounding_mode(instr: Instr) -> str:
    found = [m for m in instr.mods if m in ROUNDINGS]
    return found[0].upper() if found else "RN"


def float_op(e: AluEmitter, instr: Instr, name: str) -> None:
    """add, sub, mul, fma and div of f32 and f64, with rounding, .ftz and .sat."""
    type_ = instr.mods[-1]
    target, *sources = instr.operands
    function = f"{name}_{type_}<{rounding_mode(instr)}>"
    sat = "sat" in instr.mods
    if type_ == "f64":
        parts = [e.b64(s) for s in sources]
        results = [f"{function}({', '.join(p[i] for p in parts)})" for i in range(2)]
        e.set64(target, (results[0], results[1]))
        return
    ftz = "ftz" in instr.mods
    value = f"{function}({', '.join(f32_operand(e, s, ftz) for s in sources)})"
    if ftz:
        value = f"ftz({value})"
    e.set32(target, f"sat_f32({value})" if sat else value)


def half_op(e: AluEmitter, instr: Instr, name: str) -> None:
    """Arithmetic of f16, bf16 and their packed forms."""
    type_ = instr.mods[-1]
    if {"f32", "oob"} & set(instr.mods[:-1]):  # mixed precision (sm_100), and what replaces NaN by zero
        refuse(instr)
    target, *sources = instr.operands
    ftz, sat, relu = ("ftz" in instr.mods), ("sat" in instr.mods), ("relu" in instr.mods)

    def make(element: str, *values: str) -> str:
        if ftz:
            values = tuple(f"ftz_{element}({v})" for v in values)
        value = f"{name}_{element}({', '.join(values)})"
        if ftz:
            value = f"ftz_{element}({value})"
        if sat:
            value = f"sat_{element}({value})"
        return f"relu_{element}({value})" if relu else value

    if type_ in PAIRS:
        e.set32(target, e.halves(PAIRS[type_], make, *sources))
    else:
        e.set32(target, make(type_, *(e.b32(s) for s in sources)))


def is_half(type_: str) -> bool:
    return type_ in HALVES or type_ in PAIRS


def ftz_name(element: str) -> str:
    return "ftz" if element == "f32" else f"ftz_{element}"


def extend16(e: AluEmitter, type_: str, operand: Operand | None) -> str:
    return f"{'sext16' if type_[0] == 's' else 'low16'}({e.b32(operand)})"
