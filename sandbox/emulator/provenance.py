"""Where an address comes from: which kernel arguments, or which shared variable.

A flow-insensitive look at every definition of every register. An address that derives from exactly one pointer must
stay inside that pointer's allocation, even if what it hits outside happens to be another live one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kernelwright.sandbox.emulator.lower import Lowered, destinations
from kernelwright.sandbox.emulator.ptx import Imm, Instr, Mem, Operand, Reg, Sym, Vec

__all__ = ["Origins", "find_origins"]

Origin = tuple[str, str | int]
"""`("param", byte offset)`, `("shared", name)`, `("global", name)`, `("struct", name)` for the address of a parameter itself,
or `("unknown", "")`."""

_UNKNOWN: Origin = ("unknown", "")
_PASS = frozenset(("mov", "cvta", "add", "sub", "selp", "min", "max", "cvt", "and", "or", "mad", "shfl"))


class Origins:
    """Origins by register name."""

    def __init__(self, found: Mapping[str, frozenset[Origin]]) -> None:
        self._found = found

    def of(self, address: Mem, lowered: Lowered) -> frozenset[Origin]:
        """The origins of an address; empty if there are none."""
        if isinstance(address.base, Reg):
            return self._found.get(address.base.name, frozenset())
        if isinstance(address.base, Sym):
            return _symbol(address.base, lowered)
        return frozenset()


def _symbol(symbol: Sym, lowered: Lowered) -> frozenset[Origin]:
    if symbol.name in lowered.shared:
        return frozenset((("shared", symbol.name),))
    if symbol.name in lowered.globals:
        return frozenset((("global", symbol.name),))
    if any(p.name == symbol.name for p in lowered.params):
        return frozenset((("struct", symbol.name),))
    return frozenset()


def find_origins(instrs: Iterable[Instr], lowered: Lowered, params: Mapping[str, int]) -> Origins:
    """Follows pointers through moves and additions to a fixed point."""
    found: dict[str, frozenset[Origin]] = {}
    listed = list(instrs)

    def of(operand: Operand | None) -> frozenset[Origin]:
        if isinstance(operand, Reg):
            return found.get(operand.name, frozenset())
        if isinstance(operand, Sym):
            return _symbol(operand, lowered)
        return frozenset()

    def result(instr: Instr) -> frozenset[Origin]:
        if instr.op == "ld" and "param" in instr.mods:
            address = instr.operands[1]
            if isinstance(address, Mem) and isinstance(address.base, Sym) and address.base.name in params:
                if instr.mods[-1] in ("u64", "b64", "s64") and not isinstance(instr.operands[0], Vec):
                    return frozenset((("param", params[address.base.name] + address.base.offset + address.offset),))
                return frozenset()
        if instr.op in ("ld", "atom"):
            # A pointer read from memory may point anywhere.
            return frozenset((_UNKNOWN,)) if instr.mods[-1] in ("u64", "b64", "s64") else frozenset()
        if instr.op in _PASS and instr.mods[-1] not in ("pred",):
            sources = instr.operands[1:]
            if instr.op == "selp":
                sources = sources[:2]
            if instr.op == "and" and any(isinstance(s, Imm) for s in sources):
                # Masking off low bits is alignment; anything else is no pointer, and then it does no harm either.
                sources = tuple(s for s in sources if not isinstance(s, Imm))
            out: frozenset[Origin] = frozenset()
            for source in sources:
                items = source.items if isinstance(source, Vec) else (source,)
                for item in items:
                    out |= of(item)
            return out
        return frozenset()

    changed = True
    while changed:
        changed = False
        for instr in listed:
            new = result(instr)
            if not new:
                continue
            for reg in destinations(instr):
                if reg.bits == 1:
                    continue
                old = found.get(reg.name, frozenset())
                if not new <= old:
                    found[reg.name] = old | new
                    changed = True
    return Origins(found)
