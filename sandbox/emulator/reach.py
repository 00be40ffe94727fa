"""What a launch needs to look for races between blocks: which arrays its kernel may write and read, and in what grain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kernelwright.sandbox.emulator.lower import destinations, sources
from kernelwright.sandbox.emulator.ptx import Instr, Reg
from kernelwright.sandbox.emulator.sites import SiteInfo

__all__ = ["Reach", "float_registers", "reach"]

_FLOATS = frozenset(("f32", "f64", "f16", "bf16", "f16x2", "bf16x2"))
_MOVES = frozenset(("mov", "selp", "shfl"))


@dataclass(frozen=True)
class Reach:
    """Addresses in the arrays that a kernel may write plainly and may read; None for any array."""

    written: tuple[int, ...] | None
    read: tuple[int, ...] | None
    cell_bytes: int
    """The narrowest access to an array that may be written, in bytes; 0 if the kernel writes none."""


def reach(sites: Sequence[SiteInfo], pointers: Sequence[Sequence[int] | None]) -> Reach:
    """What the sites of a launch reach, given the arrays' addresses that each site's address derives from (None: any)."""
    accesses = [(site, of) for site, of in zip(sites, pointers, strict=True) if site.role]
    written = _joined(of for site, of in accesses if site.role == "store")
    read = _joined(of for site, of in accesses if site.role != "store")
    touching = [site.bytes for site, of in accesses if written is None or of is None or not set(written).isdisjoint(of)]
    return Reach(written, read, min(touching, default=0) if written is None or written else 0)


def _joined(pointers: Iterable[Sequence[int] | None]) -> tuple[int, ...] | None:
    out: set[int] = set()
    for one in pointers:
        if one is None:
            return None
        out.update(one)
    return tuple(out)


def float_registers(instrs: Iterable[Instr]) -> frozenset[str]:
    """Registers that floating-point instructions read, also by way of moves and unpacking."""
    found: set[str] = set()
    moves: list[tuple[set[str], set[str]]] = []
    for instr in instrs:
        if not instr.mods or instr.op in ("ld", "st", "cp"):
            continue
        read = {r.name for r in sources(instr) if isinstance(r, Reg) and r.bits > 1}
        if instr.mods[-1] in _FLOATS or instr.op in ("mma", "wmma"):
            found |= read
        elif instr.op in _MOVES:
            moves.append(({r.name for r in destinations(instr)}, read))
    changed = True
    while changed:
        changed = False
        for written, read in moves:
            if not written.isdisjoint(found) and not read <= found:
                found |= read
                changed = True
    return frozenset(found)
