"""Functions with a frame of their own: how arguments travel, and where their local variables lie.

A thread's stack is local memory behind the kernel's own variables; `STACK` holds its top. Arguments and results travel
in registers that all such functions share, by position. They are read at once where a function begins and where it has
come back, so that a call in between does no harm. What a caller still needs is saved elsewhere (runtime/stack.cpp).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from kernelwright.errors import UnsupportedError
from kernelwright.sandbox.emulator.ptx import (
    TYPE_BYTES,
    Function,
    Imm,
    Instr,
    LabelDef,
    Mem,
    Operand,
    Param,
    Program,
    Reg,
    Sym,
    Variable,
    Vec,
    Where,
)

__all__ = [
    "ABI",
    "STACK",
    "abi_names",
    "abi_registers",
    "argument",
    "callees",
    "copies",
    "entry_label",
    "function_addresses",
    "lay_out_local",
    "place_locals",
]

ABI = "%%abi."
"""Begins the names of the registers that arguments and results travel in."""

STACK = Reg("%%stack", "b64")
"""The top of each thread's stack: an address in local memory."""

_CODE = 1 << 58
"""Functions have addresses from here on, where no data is (KW_CODE_WINDOW of runtime/abi.hpp)."""


def entry_label(name: str) -> str:
    """Where a function with a frame begins."""
    return f"$entry#{name}"


def function_addresses(program: Program) -> dict[str, int]:
    """An address for every device function: the same in every module, since host code may carry it from one to another.

    Raises:
        UnsupportedError: two functions would share one.
    """
    listed = [name for name, function in program.functions.items() if not function.entry and function.body is not None]
    found = {name: _CODE + 16 * int.from_bytes(hashlib.sha256(name.encode()).digest()[:5], "little") for name in listed}
    if len(set(found.values())) < len(found):
        raise UnsupportedError("two device functions have names that the emulator can't tell apart")
    return found


def argument(name: str, offset: int, size: int) -> Reg:
    """The register that holds a piece of a parameter variable."""
    return Reg(f"{name}+{offset}w", "b64") if size == 8 else Reg(f"{name}+{offset}", "b32")


def abi_names(function: Function, is_framed: Callable[[Instr], bool]) -> dict[str, str]:
    """Parameter variables of calls that go to a frame, with what stands for them there.

    Raises:
        UnsupportedError: one that serves two kinds of calls.
    """
    names: dict[str, str] = {}
    plain: set[str] = set()
    for item in function.body or ():
        if not isinstance(item, Instr) or item.op != "call":
            continue
        returns, _, arguments = item.operands
        for kind, operands in (("a", arguments), ("r", returns)):
            for i, operand in enumerate(operands.items if isinstance(operands, Vec) else ()):
                if not isinstance(operand, Sym):
                    continue
                if not is_framed(item) or names.setdefault(operand.name, f"{ABI}{kind}{i}") != f"{ABI}{kind}{i}":
                    plain.add(operand.name)
    if shared := plain & set(names):
        raise UnsupportedError(f"the parameter variable {min(shared)} serves calls of several kinds")
    return names


def callees(call: Instr, caller: Function, program: Program, pointed: Sequence[str]) -> tuple[str, ...]:
    """Of the functions whose address is taken, those with the parameters and results of a call."""
    returns, _, arguments = call.operands

    def fits(operands: Operand | None, formal: Sequence[Param]) -> bool:
        given = operands.items if isinstance(operands, Vec) else ()
        if len(given) != len(formal):
            return False
        sizes = [caller.param_bytes.get(o.name) if isinstance(o, Sym) else None for o in given]
        return all(size in (None, p.size) for size, p in zip(sizes, formal, strict=True))

    return tuple(
        name
        for name in pointed
        if fits(arguments, program.functions[name].params) and fits(returns, program.functions[name].returns)
    )


def abi_registers(function: Function, formal: Sequence[Param], kind: str) -> tuple[Reg, ...]:
    """The registers in which the pieces of parameters (`kind` "a") or results ("r") travel."""
    return tuple(
        argument(f"{ABI}{kind}{i}", offset, size)
        for i, param in enumerate(formal)
        for offset, size in _pieces(function, param.name)
    )


def copies(function: Function, suffix: str, where: Where, *, into: bool) -> list[Instr | LabelDef]:
    """Moves from where the arguments travel to the function's own (`into`), or from its results to where they do."""
    formal, kind = (function.params, "a") if into else (function.returns, "r")
    own = [
        argument(param.name + suffix, offset, size)
        for param in formal
        for offset, size in _pieces(function, param.name)
    ]
    moves: list[Instr | LabelDef] = []
    for mine, travelling in zip(own, abi_registers(function, formal, kind), strict=True):
        target, source = (mine, travelling) if into else (travelling, mine)
        moves.append(Instr("mov", ("helper", mine.type), (target, source), where))
    return moves


def _pieces(function: Function, name: str) -> list[tuple[int, int]]:
    """(offset, bytes) of every move from or to a parameter, in order."""
    found: set[tuple[int, int]] = set()
    for item in function.body or ():
        if not isinstance(item, Instr) or item.op not in ("ld", "st") or "param" not in item.mods:
            continue
        address, value = item.operands[1 if item.op == "ld" else 0], item.operands[0 if item.op == "ld" else 1]
        if isinstance(address, Mem) and isinstance(address.base, Sym) and address.base.name == name:
            size = TYPE_BYTES[item.mods[-1]]
            count = len(value.items) if isinstance(value, Vec) else 1
            found.update((address.base.offset + address.offset + i * size, size) for i in range(count))
    return sorted(found)


def lay_out_local(variables: list[Variable]) -> tuple[dict[str, int], int]:
    """Each variable's first byte in a frame, and the frame's size."""
    layout: dict[str, int] = {}
    at = 0
    for variable in variables:
        at = -(-at // variable.align) * variable.align
        layout[variable.name] = at
        at += variable.size
    return layout, -(-at // 16) * 16


def place_locals(body: Sequence[Instr | LabelDef], layout: Mapping[str, int], frame: Reg) -> list[Instr | LabelDef]:
    """The body with addresses of local variables computed from the frame's beginning."""
    out: list[Instr | LabelDef] = []
    made = 0

    def placed(operand: Operand | None, where: Where) -> Operand | None:
        nonlocal made
        if isinstance(operand, Vec):
            return Vec(tuple(placed(item, where) for item in operand.items))
        symbol = operand.base if isinstance(operand, Mem) else operand
        if not isinstance(symbol, Sym) or symbol.name not in layout:
            return operand
        made += 1
        address = Reg(f"%%place{made}{frame.name}", "b64")
        at = Imm(layout[symbol.name] + symbol.offset)
        out.append(Instr("add", ("helper", "u64"), (address, frame, at), where))
        return Mem(address, operand.offset) if isinstance(operand, Mem) else address

    for item in body:
        if isinstance(item, Instr) and item.op != "callf":
            operands = tuple(placed(o, item.where) for o in item.operands)
            item = replace(item, operands=operands)
        out.append(item)
    return out
