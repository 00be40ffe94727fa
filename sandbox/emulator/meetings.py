"""Whether lanes of a warp could race in shared memory: whether it reads and writes there without meeting in between."""

from __future__ import annotations

from collections.abc import Sequence

from kernelwright.sandbox.emulator.flow import Block, is_barrier, is_collective
from kernelwright.sandbox.emulator.operands import is_helper
from kernelwright.sandbox.emulator.ptx import Instr
from kernelwright.sandbox.emulator.tensor import TENSOR_OPS

__all__ = ["lanes_may_race"]

_ELSEWHERE = frozenset(("global", "const", "local", "param"))
_ON_PURPOSE = frozenset(("volatile", "relaxed", "acquire", "release", "mmio"))
_WRITES = ("st", "cp", "atom", "red")


def lanes_may_race(blocks: Sequence[Block]) -> bool:
    """Whether somewhere in a kernel nothing at which lanes meet parts a shared load from a shared store or atomic.

    Barriers are such meetings, and warp-wide operations but for those of the tensor cores: these wait for the warp's lanes, and
    say nothing of memory. A matrix is loaded for all lanes at once, so lanes have met behind that.
    """
    return _plain_loads_may_race(blocks) or _matrix_loads_may_race(blocks)


def _plain_loads_may_race(blocks: Sequence[Block]) -> bool:
    """Paths are followed both ways: lanes on two sides of a branch are in no order either."""
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
    writes = {root(b.number) for b in blocks if any(map(_writes, b.instrs))}
    return not reads.isdisjoint(writes)


def _matrix_loads_may_race(blocks: Sequence[Block]) -> bool:
    """Every lane is there when a matrix is loaded: what matters is what they wrote on the way."""
    pending, seen = [], set()
    for block in blocks:
        written = False
        for instr in block.instrs:
            if written and _loads_matrix(instr):
                return True
            written |= _writes(instr)
        if written:
            pending += block.successors
    while pending:
        number = pending.pop()
        if number in seen or _meets(blocks[number]):
            continue
        seen.add(number)
        if any(map(_loads_matrix, blocks[number].instrs)):
            return True
        pending += blocks[number].successors
    return False


def _meets(block: Block) -> bool:
    """Whether lanes meet at the block's beginning, with what each of them did to memory."""
    first = next((i for i in block.instrs if not is_helper(i)), block.instrs[0])
    return is_barrier(first) or (is_collective(first) and first.op not in TENSOR_OPS)


def _writes(instr: Instr) -> bool:
    return _accesses(instr, _WRITES) or _stores_matrix(instr)


def _loads_matrix(instr: Instr) -> bool:
    loads = instr.op == "ldmatrix" or (instr.op == "wmma" and "load" in instr.mods)
    return loads and _ELSEWHERE.isdisjoint(instr.mods)


def _stores_matrix(instr: Instr) -> bool:
    """A warp-wide store: lanes meet before it, but one may read what another has yet to store."""
    stores = instr.op == "stmatrix" or (instr.op == "wmma" and "store" in instr.mods)
    return stores and _ELSEWHERE.isdisjoint(instr.mods)


def _accesses(instr: Instr, operations: tuple[str, ...]) -> bool:
    return instr.op in operations and (
        instr.op == "cp" or (_ELSEWHERE.isdisjoint(instr.mods) and _ON_PURPOSE.isdisjoint(instr.mods))
    )
