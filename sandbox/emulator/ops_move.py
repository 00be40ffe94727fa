"""C++ for moves, packing and unpacking, and address spaces."""

from __future__ import annotations

from kernelwright.sandbox.emulator.alu import AluEmitter, refuse
from kernelwright.sandbox.emulator.forms import (
    lane_bits,
)
from kernelwright.sandbox.emulator.ptx import TYPE_BYTES, Instr, Operand, Reg, Vec

__all__ = [
    "active_mask",
    "cache_policy",
    "convert_address",
    "move",
    "nothing",
]


def move(e: AluEmitter, instr: Instr) -> None:
    target, value = instr.operands
    type_ = instr.mods[-1]
    if type_ == "pred":
        e.setp(target, e.pred(value))
    elif isinstance(target, Vec):
        _unpack(e, instr, target, value)
    elif isinstance(value, Vec):
        _pack(e, instr, target, value)
    elif type_ == "b128" or (isinstance(target, Reg) and target.bits == 128):
        refuse(instr)
    elif isinstance(target, Reg) and target.bits == 64:
        e.set64(target, e.b64(value))
    else:
        e.set32(target, e.b32(value), clean=isinstance(value, Reg) and value.bits == 32 and TYPE_BYTES[value.type] == 2)


def _unpack(e: AluEmitter, instr: Instr, target: Vec, value: Operand | None) -> None:
    size = TYPE_BYTES[instr.mods[-1]]
    part = 8 * size // len(target.items)
    if size == 8:
        a, b = e.b64(value)
        words = [e.temporary("u", f"low_words({a}, {b})"), e.temporary("u", f"high_words({a}, {b})")]
    elif size == 4:
        words = [e.temporary("u", e.b32(value))]
    else:
        refuse(instr)
    for i, item in enumerate(target.items):
        if part == 32:
            e.set32(item, words[i])
        elif part == 16:
            e.set32(item, f"{'upper' if i & 1 else 'lower'}({words[i // 2]})", clean=True)
        elif part == 8:
            e.set32(item, f"low8({words[i // 4]} >> {8 * (i % 4)})", clean=True)
        else:
            refuse(instr)


def _pack(e: AluEmitter, instr: Instr, target: Operand | None, value: Vec) -> None:
    size = TYPE_BYTES[instr.mods[-1]]
    part = 8 * size // len(value.items)
    values = [e.b32(item) for item in value.items]
    if part == 16:
        values = [f"pair(low16({values[i]}), low16({values[i + 1]}))" for i in range(0, len(values), 2)]
    elif part == 8:
        values = [
            f"(low8({a}) | low8({b}) << 8 | low8({c}) << 16 | low8({d}) << 24)"
            for a, b, c, d in (values[i : i + 4] for i in range(0, len(values), 4))
        ]
    elif part != 32:
        refuse(instr)
    if size == 8:
        low, high = (e.temporary("u", v) for v in values)
        e.set64(target, (f"pack0({low}, {high})", f"pack1({low}, {high})"))
    else:
        e.set32(target, values[0])


def convert_address(e: AluEmitter, instr: Instr) -> None:
    target, a = instr.operands
    space = next((m for m in instr.mods if m in ("shared", "local", "global", "const", "param")), "")
    if any("shared::" in m for m in instr.mods):
        space = "shared"
    bits = lane_bits(instr.mods[-1])
    window = {"shared": "KW_SHARED_WINDOW", "local": "KW_LOCAL_WINDOW"}.get(space)
    if window is None:
        if bits == 64:
            e.set64(target, e.b64(a))
        else:
            e.set32(target, e.b32(a))
        return
    a0, a1 = e.b64(a)
    if "to" in instr.mods:
        e.set64(target, (f"({a0} & ~KW_WINDOW_MASK)", f"({a1} & ~KW_WINDOW_MASK)"))
    else:
        e.set64(target, (f"({a0} | {window})", f"({a1} | {window})"))


def active_mask(e: AluEmitter, instr: Instr) -> None:
    e.set32(instr.operands[0], "bc(M)")


def nothing(e: AluEmitter, instr: Instr) -> None:
    """Instructions without an effect that a program could see here (ordering, caching, waiting)."""


def cache_policy(e: AluEmitter, instr: Instr) -> None:
    """A policy that says nothing: caches are not emulated, and nothing else may look at its bits."""
    e.set64(instr.operands[0], ("bc64(0)", "bc64(0)"))
