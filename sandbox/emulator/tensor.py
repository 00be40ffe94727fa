"""C++ for tensor-core instructions: mma, wmma, ldmatrix, stmatrix, movmatrix (PTX ISA 9.7.14)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kernelwright.sandbox.emulator.alu import refuse
from kernelwright.sandbox.emulator.ptx import Imm, Instr, Operand, Reg, Vec

__all__ = [
    "TENSOR_OPS",
    "check_form",
    "factor_type",
    "listed_registers",
    "matrix_table",
    "mma_table",
    "multiply_adds",
    "stride_of",
    "wmma_table",
]

TENSOR_OPS = frozenset(("mma", "wmma", "ldmatrix", "stmatrix", "movmatrix"))
"""Instructions that a whole warp executes together."""

_TYPES = ("f16", "bf16", "tf32", "e4m3", "e5m2", "s8", "u8", "s4", "u4", "b1", "f64", "f32", "s32")
"""In the order of `Type` in runtime/tensor.cpp."""

_BITS = {"f16": 16, "bf16": 16, "e4m3": 8, "e5m2": 8, "s8": 8, "u8": 8, "s4": 4, "u4": 4, "b1": 1, "f64": 64}
_SATFINITE, _XOR_POPC, _AND_POPC = 1, 2, 4
_SHAPE = re.compile(r"m(\d+)n(\d+)k(\d+)")


@dataclass(frozen=True)
class Form:
    """Shape and types of a matrix product."""

    m: int
    n: int
    k: int
    a: str
    b: str
    c: str
    d: str


def _form(instr: Instr) -> Form:
    shape = next((found for mod in instr.mods if (found := _SHAPE.fullmatch(mod))), None)
    types = [mod for mod in instr.mods if mod in _TYPES]
    if shape is None or len(types) not in (2, 4):
        refuse(instr)
    m, n, k = (int(size) for size in shape.groups())
    if len(types) == 2:  # wmma of f16: only the accumulators' types are written
        return Form(m, n, k, "f16", "f16", types[1], types[0])
    return Form(m, n, k, types[1], types[2], types[3], types[0])


def multiply_adds(instr: Instr) -> int:
    """Multiply-adds of the warp; 0 for instructions that only move data."""
    if instr.op == "mma" or (instr.op == "wmma" and "mma" in instr.mods):
        form = _form(instr)
        return form.m * form.n * form.k
    return 0


def factor_type(instr: Instr) -> str:
    """PTX type of the factors of a matrix product: `f16`, `tf32`, ..."""
    return _form(instr).a


def listed_registers(operand: Operand | None) -> tuple[Operand | None, ...]:
    """The registers of a fragment, which may stand alone or in braces."""
    return operand.items if isinstance(operand, Vec) else (operand,)


def check_form(instr: Instr) -> None:
    """Refuses forms that are not known.

    Raises:
        UnsupportedError: sparse products, 4- and 6-bit floating point, block scaling, the first generation's m8n8k4.
    """
    if instr.op == "movmatrix":
        known = instr.mods == ("sync", "aligned", "m8n8", "trans", "b16")
    elif instr.op in ("ldmatrix", "stmatrix"):
        known = "m8n8" in instr.mods and instr.mods[-1] == "b16"
    elif instr.op == "wmma" and "mma" not in instr.mods:
        known = instr.mods[0] in ("load", "store")
    else:
        form = _form(instr)
        unit = 4 * max(1, 32 // _BITS.get(form.a, 32))
        known = (
            not any(m.startswith(("sp", "kind::mx")) for m in instr.mods)
            and form.k % unit == 0
            and form.m % 8 == form.n % 8 == 0
            and _BITS.get(form.a, 32) == _BITS.get(form.b, 32)
            and not (instr.op == "mma" and (form.m, form.n, form.k) == (8, 8, 4) and form.a != "f64")
        )
    if not known:
        refuse(instr)


Slot = Callable[[Reg], int]


def _slots(slot: Slot, instr: Instr, operand: Operand | None) -> list[int]:
    found = []
    for item in listed_registers(operand):
        if not isinstance(item, Reg):
            refuse(instr)
        found.append(slot(item))
    return found


def mma_table(instr: Instr, slot: Slot) -> Sequence[int]:
    """The table that `kw_mma` takes."""
    form = _form(instr)
    flags = _SATFINITE * ("satfinite" in instr.mods)
    flags |= (_XOR_POPC if "xor" in instr.mods else _AND_POPC) * ("popc" in instr.mods)
    fragments = [_slots(slot, instr, o) for o in instr.operands[:4]]
    types = [_TYPES.index(t) for t in (form.a, form.b, form.c, form.d)]
    counts = [len(f) for f in fragments]
    return [form.m, form.n, form.k, *types, flags, *counts, *(s for f in fragments for s in f)]


def wmma_table(instr: Instr, slot: Slot) -> Sequence[int]:
    """The table that `kw_wmma_move` takes, for wmma.load and wmma.store."""
    store = instr.mods[0] == "store"
    part = ("a", "b", "c", "d").index(instr.mods[1])
    shape = next((found for mod in instr.mods if (found := _SHAPE.fullmatch(mod))), None)
    if shape is None:
        refuse(instr)
    registers = _slots(slot, instr, instr.operands[1 if store else 0])
    type_ = _TYPES.index(instr.mods[-1])
    by_row = int("row" in instr.mods)
    return [*(int(n) for n in shape.groups()), type_, min(part, 2), by_row, int(store), len(registers), *registers]


def matrix_table(instr: Instr, slot: Slot) -> Sequence[int]:
    """The table that `kw_matrix_move` (or `kw_movmatrix`) takes."""
    if instr.op == "movmatrix":
        return [*_slots(slot, instr, instr.operands[0]), *_slots(slot, instr, instr.operands[1])]
    store = instr.op == "stmatrix"
    registers = _slots(slot, instr, instr.operands[1 if store else 0])
    return [len(registers), int("trans" in instr.mods), int(store), *registers]


def stride_of(instr: Instr) -> Operand | None:
    """The stride operand of wmma.load and wmma.store, in elements; 0 where there is none."""
    return instr.operands[2] if len(instr.operands) > 2 else Imm(0)
