"""Basic blocks and liveness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from kernelwright.errors import EmulatorError
from kernelwright.sandbox.emulator.lower import destinations, sources
from kernelwright.sandbox.emulator.ptx import Instr, LabelDef, Reg, Sym, Where
from kernelwright.sandbox.emulator.tensor import TENSOR_OPS

__all__ = ["Block", "build_blocks", "is_barrier", "is_collective", "mark_live"]

_TERMINATORS = frozenset(("bra", "brx", "ret", "exit", "jump", "callf", "retf"))
_COLLECTIVE = frozenset(("shfl", "vote", "match", "redux", "elect"))


@dataclass
class Block:
    """Instructions that run one after the other. `successors` are block numbers; the last instruction may branch."""

    number: int
    instrs: list[Instr] = field(default_factory=list)
    successors: list[int] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    live_in: frozenset[str] = frozenset()
    live_out: frozenset[str] = frozenset()

    @property
    def terminator(self) -> Instr | None:
        """The branch, exit or barrier at the end, if any."""
        last = self.instrs[-1] if self.instrs else None
        return last if last is not None and (last.op in _TERMINATORS or is_barrier(last)) else None


def is_barrier(instr: Instr) -> bool:
    """A block-wide barrier at which a warp waits (not `arrive`, not `bar.warp.sync`)."""
    if instr.op == "barred":
        return True
    return instr.op in ("bar", "barrier") and "warp" not in instr.mods and "arrive" not in instr.mods


def is_collective(instr: Instr) -> bool:
    """A warp-wide operation that names its members, or needs the whole warp."""
    if instr.op in TENSOR_OPS:
        return True
    return (instr.op in _COLLECTIVE and "sync" in instr.mods) or (instr.op == "bar" and "warp" in instr.mods)


def build_blocks(body: Sequence[Instr | LabelDef]) -> list[Block]:
    """Splits a body so that a barrier is alone in its block and warp-wide operations begin one.

    Raises:
        EmulatorError: a branch to a label that is not there.
    """
    blocks = [Block(0)]

    def fresh() -> Block:
        if blocks[-1].instrs:
            blocks.append(Block(len(blocks)))
        return blocks[-1]

    for item in _with_branches_around(body):
        if isinstance(item, LabelDef):
            current = blocks[-1]
            if current.instrs:
                current = fresh()
            current.labels.append(item.name)
            continue
        # Guarded instructions that must be alone have become branches before.
        begins = is_barrier(item) or is_collective(item) or item.op == "barresult"
        # One tensor instruction after the other: the warp is whole since the first.
        whole = item.op in TENSOR_OPS and blocks[-1].instrs and blocks[-1].instrs[0].op in TENSOR_OPS
        if begins and not whole:
            fresh()
        blocks[-1].instrs.append(item)
        if item.op in _TERMINATORS or is_barrier(item):
            blocks.append(Block(len(blocks)))
    if not blocks[-1].instrs:
        blocks[-1].instrs.append(Instr("ret", (), (), blocks[-2].instrs[-1].where if len(blocks) > 1 else Where()))
    _connect(blocks)
    return _reachable(blocks)


def _with_branches_around(body: Sequence[Instr | LabelDef]) -> list[Instr | LabelDef]:
    """Guards on barriers, warp-wide operations and the like become branches; bar.red gets a second half."""
    out: list[Instr | LabelDef] = []
    for number, item in enumerate(body):
        if not isinstance(item, Instr):
            out.append(item)
            continue
        alone = is_barrier(item) or is_collective(item) or item.op in ("trap", "printf", "assert")
        skip = f"$around{number}"
        if item.guard is not None and alone:
            out.append(Instr("bra", (), (Sym(skip),), item.where, item.guard, not item.guard_negated))
            item_alone = replace(item, guard=None, guard_negated=False)
        else:
            item_alone = item
        if is_barrier(item) and "red" in item.mods:
            # The result is there once every warp has arrived.
            result, *rest = item_alone.operands
            out.append(replace(item_alone, op="barred", operands=tuple(rest)))
            out.append(replace(item_alone, op="barresult", operands=(result,)))
        else:
            out.append(item_alone)
        if item.guard is not None and alone:
            out.append(LabelDef(skip))
    return out


def _connect(blocks: list[Block]) -> None:
    at = {label: block.number for block in blocks for label in block.labels}

    def target(name: str) -> int:
        if name not in at:
            raise EmulatorError(f"the PTX branches to the label {name}, which is not there")
        return at[name]

    for block in blocks:
        last = block.terminator
        following = block.number + 1
        if last is not None and last.op == "bra":
            label = last.operands[0]
            assert isinstance(label, Sym)
            block.successors = [target(label.name)]
            if last.guard is not None:
                block.successors.append(following)
        elif last is not None and last.op == "jump":
            label = last.operands[0]
            assert isinstance(label, Sym)
            block.successors = [target(label.name)]
        elif last is not None and last.op == "callf":  # where it comes back, then where it goes
            block.successors = [target(name) for name in last.targets]
        elif last is not None and last.op == "retf":
            block.successors = []
        elif last is not None and last.op == "brx":
            block.successors = [target(name) for name in last.targets]
            if last.guard is not None:
                block.successors.append(following)
        elif last is not None and last.op in ("ret", "exit"):
            block.successors = [following] if last.guard is not None else []
        else:
            block.successors = [following]
        if any(s >= len(blocks) for s in block.successors):
            # Falling off the end of a kernel is a return.
            block.instrs.append(Instr("ret", (), (), block.instrs[-1].where))
            block.successors = [s for s in block.successors if s < len(blocks)]


def _reachable(blocks: list[Block]) -> list[Block]:
    """Without blocks that can't be reached, renumbered."""
    seen = {0}
    pending = [0]
    while pending:
        for successor in blocks[pending.pop()].successors:
            if successor not in seen:
                seen.add(successor)
                pending.append(successor)
    kept = [block for block in blocks if block.number in seen]
    number = {block.number: i for i, block in enumerate(kept)}
    for block in kept:
        block.number = number[block.number]
        block.successors = [number[s] for s in block.successors]
    return kept


def mark_live(blocks: list[Block]) -> dict[str, Reg]:
    """Fills `live_in` and `live_out`; returns all registers by name."""
    registers: dict[str, Reg] = {}
    uses: list[set[str]] = []
    kills: list[set[str]] = []
    for block in blocks:
        used: set[str] = set()
        killed: set[str] = set()
        for instr in block.instrs:
            for reg in sources(instr):
                registers[reg.name] = reg
                if reg.name not in killed:
                    used.add(reg.name)
            for reg in destinations(instr):
                registers[reg.name] = reg
                if instr.guard is None:
                    killed.add(reg.name)
                elif reg.name not in killed:
                    used.add(reg.name)  # lanes whose guard is false keep the old value
        uses.append(used)
        kills.append(killed)
    live_in: list[set[str]] = [set(u) for u in uses]
    predecessors: list[list[int]] = [[] for _ in blocks]
    for block in blocks:
        for successor in block.successors:
            predecessors[successor].append(block.number)
    pending = set(range(len(blocks)))
    while pending:
        number = max(pending)
        pending.discard(number)
        out: set[str] = set()
        for successor in blocks[number].successors:
            out |= live_in[successor]
        new = uses[number] | (out - kills[number])
        blocks[number].live_out = frozenset(out)
        if new != live_in[number]:
            live_in[number] = new
            pending.update(predecessors[number])
    for block in blocks:
        block.live_in = frozenset(live_in[block.number])
    return registers
