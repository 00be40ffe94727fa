"""Whether lanes of a warp could race in shared memory: whether it reads and writes there without meeting in between."""

from __future__ import annotations

from collections.abc import Sequence

from kernelwright.sandbox.emulator.flow import Block, is_barrier, is_collective
from kernelwright.sandbox.emulator.operands import is_helper
from kernelwright.sandbox.emulator.ptx import Instr

__all__ = ["lanes_may_race"]

_ELSEWHERE = frozenset(("global", "const", "local", "param"))
_ON_PURPOSE = frozenset(("volatile", "relaxed", "acquire", "release", "mmio"))
_WRITES = ("st", "cp", "atom", "red")


def lanes_may_race(blocks: Sequence[Block]) -> bool:
    """Whether somewhere in a kernel no barrier and no warp-wide operation parts a shared load from a shared store or atomic.

    Paths are followed both ways: lanes on two sides of a branch are in no order either.
    """
    region = list(range(len(blocks)))

    def root(number: int) -> int:
        while region[number] != number:
            region[number] = region[region[number]]
            number = region[number]
        return number

    for block in blocks:
        for successor in block.successors:
            if not _meets(blocks[successor]):
                region[root(block.number)] = root(successor)
    reads = {root(b.number) for b in blocks if any(_accesses(i, ("ld",)) for i in b.instrs)}
    writes = {root(b.number) for b in blocks if any(_accesses(i, _WRITES) or _stores_matrix(i) for i in b.instrs)}
    return not reads.isdisjoint(writes)


def _meets(block: Block) -> bool:
    """Whether lanes meet at the block's beginning."""
    first = next((i for i in block.instrs if not is_helper(i)), block.instrs[0])
    return is_barrier(first) or is_collective(first)


def _stores_matrix(instr: Instr) -> bool:
    """A warp-wide store: lanes meet before it, but one may read what another has yet to store."""
    stores = instr.op == "stmatrix" or (instr.op == "wmma" and "store" in instr.mods)
    return stores and _ELSEWHERE.isdisjoint(instr.mods)


def _accesses(instr: Instr, operations: tuple[str, ...]) -> bool:
    return instr.op in operations and (
        instr.op == "cp" or (_ELSEWHERE.isdisjoint(instr.mods) and _ON_PURPOSE.isdisjoint(instr.mods))
    )
