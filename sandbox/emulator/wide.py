"""128-bit registers as pairs of 64-bit ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kernelwright.errors import UnsupportedError
from kernelwright.sandbox.emulator.ptx import Instr, LabelDef, Operand, Reg, Vec

__all__ = ["split_wide"]


def split_wide(body: Sequence[Instr | LabelDef]) -> list[Instr | LabelDef]:
    """The body without 128-bit registers: moves become two, loads and stores vectors, atomics take pairs.

    Raises:
        UnsupportedError: another instruction on 128 bits.
    """
    out: list[Instr | LabelDef] = []
    for item in body:
        if isinstance(item, Instr) and "b128" in item.mods:
            out.extend(_split(item))
        else:
            out.append(item)
    return out


def _halves(operand: Operand | None) -> Vec:
    if isinstance(operand, Reg) and operand.bits == 128:
        return Vec((Reg(f"{operand.name}:low", "b64"), Reg(f"{operand.name}:high", "b64")))
    if isinstance(operand, Vec) and len(operand.items) == 2:
        return operand
    raise UnsupportedError("a 128-bit operand that is no register is not supported")


def _split(instr: Instr) -> list[Instr]:
    operands = instr.operands
    if instr.op == "mov":
        pairs = zip(_halves(operands[0]).items, _halves(operands[1]).items, strict=True)
        return [replace(instr, mods=("b64",), operands=pair) for pair in pairs]
    if instr.op in ("ld", "st"):
        at = 0 if instr.op == "ld" else 1
        values = [_halves(o) if i == at else o for i, o in enumerate(operands)]
        if any(m in ("v2", "v4") for m in instr.mods):
            raise UnsupportedError(f"the PTX instruction {instr.opcode} is not supported", line=instr.where.line)
        return [replace(instr, mods=(*instr.mods[:-1], "v2", "b64"), operands=tuple(values))]
    if instr.op == "atom":
        values = [_halves(o) if isinstance(o, Reg) and o.bits == 128 else o for o in operands]
        return [instr.with_operands(*values)]
    raise UnsupportedError(f"the PTX instruction {instr.opcode} is not supported", line=instr.where.line)
