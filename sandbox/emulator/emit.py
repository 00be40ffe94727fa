"""A lowered kernel as C++: a switch over basic blocks, vector loops inside them, calls into the runtime between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kernelwright.sandbox.emulator.alu import AluEmitter, refuse
from kernelwright.sandbox.emulator.calls import CallEmitter
from kernelwright.sandbox.emulator.counts import flops, issue_class, tensor_type
from kernelwright.sandbox.emulator.flow import Block, build_blocks, is_barrier, mark_live
from kernelwright.sandbox.emulator.frames import STACK
from kernelwright.sandbox.emulator.lower import Lowered, destinations, sources
from kernelwright.sandbox.emulator.meetings import lanes_may_race
from kernelwright.sandbox.emulator.opcodes import emit_alu, is_alu
from kernelwright.sandbox.emulator.operands import Splitter, is_helper
from kernelwright.sandbox.emulator.provenance import find_origins
from kernelwright.sandbox.emulator.ptx import Instr, LabelDef, Special, Sym, Where
from kernelwright.sandbox.emulator.reach import float_registers
from kernelwright.sandbox.emulator.sites import Registers, Site, SiteInfo, Sites
from kernelwright.sandbox.emulator.stack_calls import StackEmitter

__all__ = ["BlockInfo", "LineCost", "Translated", "translate"]


@dataclass(frozen=True)
class LineCost:
    """What one pass through a basic block costs at one line of the source."""

    line: int
    """0 where the compiler names none."""
    called_from: frozenset[int]
    classes: Mapping[str, int]
    flops: Mapping[str, int]
    branches: int


@dataclass(frozen=True)
class BlockInfo:
    """What one pass of a warp through a basic block costs."""

    where: Where
    classes: Mapping[str, int]
    flops: Mapping[str, int]
    branches: int
    tensor_flops: Mapping[str, int]
    """Of one lane, by the type of the factors."""
    lines: tuple[LineCost, ...]
    """The same by source line; the sums are those above."""
    branch_line: int
    """The line of the branch at the end; 0 for none."""


@dataclass(frozen=True)
class Translated:
    """The C++ of a kernel and what is needed to run it and to explain what it did."""

    cpp: str
    sites: tuple[SiteInfo, ...]
    blocks: tuple[BlockInfo, ...]
    slots: int
    predicates: int
    cell_bytes: int
    """The narrowest access to shared memory, in bytes: the grain in which races are looked for; 0 without any."""
    ordered: bool
    """Whether blocks must run one after the other for the result to be the same every time."""
    lanes_may_race: bool = False
    """Whether shared loads and stores are somewhere not parted by a meeting of the warp's lanes."""
    cooperative: bool = False
    """Whether all blocks must be resident together (the kernel asks for the grid's workspace)."""
    stack_slot: int = -1
    """Place of the register that holds the top of each thread's stack; -1 if threads take no stack memory."""
    reads_params: bool = False
    """Whether the address of a parameter is taken."""
    dependence: SiteInfo | None = None
    """A place where what a block does may depend on what other blocks did before."""


def translate(lowered: Lowered) -> Translated:
    """Translates one kernel.

    Raises:
        UnsupportedError: an instruction that is not known, with its opcode and source line.
    """
    return _Translator(lowered).run()


class _Translator:
    def __init__(self, lowered: Lowered) -> None:
        self._lowered = lowered
        self._params = {p.name: p.offset for p in lowered.params}
        self._registers = Registers()
        self._out: list[str] = []
        splitter = Splitter()
        self._blocks = build_blocks([_prepared(item) for item in lowered.body])
        for block in self._blocks:
            block.instrs = [part for instr in block.instrs for part in splitter.split(instr)]
        live = mark_live(self._blocks)
        every = [instr for block in self._blocks for instr in block.instrs]
        self._sites = Sites(lowered, self._registers, find_origins(every, lowered, self._params))
        read = frozenset(r.name for instr in every for r in sources(instr))
        self._calls = CallEmitter(self._sites, self._registers, read, float_registers(every), self._out)
        self._stack = StackEmitter(self._sites, self._registers, live, lowered.functions, self._out)
        self._stack.plan(self._blocks)

    def run(self) -> Translated:
        for block in self._blocks:
            self._block(block)
        return Translated(
            cpp=self._assemble(),
            sites=tuple(s.info for s in self._sites.listed),
            blocks=tuple(_cost(b) for b in self._blocks),
            slots=self._registers.slots,
            predicates=self._registers.predicates,
            cell_bytes=self._calls.cell_bytes,
            ordered=self._calls.ordered or self._stack.ordered,
            # functions that are called, not inlined, are not followed
            lanes_may_race=bool(self._lowered.stack) or lanes_may_race(self._blocks),
            cooperative=any(_asks_for_workspace(i) for b in self._blocks for i in b.instrs),
            stack_slot=self._registers.slot(STACK) if self._lowered.stack else -1,
            reads_params=any(
                isinstance(o, Sym) and o.name in self._params
                for b in self._blocks
                for i in b.instrs
                for o in i.operands
            ),
            dependence=next((s.info for s in self._sites.listed if _looks_at_others(s)), None),
        )

    def _block(self, block: Block) -> None:
        out = self._out
        number = block.number
        out.append(f"case {number}: B{number}: {{")
        self._calls.collect(block)
        issued = sum(issue_class(i) is not None and not is_helper(i) for i in block.instrs)
        out.append(f"ENTER({number}, {issued});")
        pending: list[Instr] = []
        needed = self._needed_after(block)
        for i, instr in enumerate(block.instrs):
            if instr is block.terminator:
                break
            if is_alu(instr):
                pending.append(instr)
                continue
            self._region(pending, needed[i])
            pending = []
            if not self._stack.call(instr):
                self._calls.call(instr)
        self._region(pending, needed[len(block.instrs) - (block.terminator is not None)])
        self._terminate(block)
        out.append("}")

    def _needed_after(self, block: Block) -> list[frozenset[str]]:
        """For each position, the registers that are read at or after it (or live out of the block)."""
        needed: list[frozenset[str]] = [block.live_out]
        current = set(block.live_out)
        for instr in reversed(block.instrs):
            if instr.guard is None:
                current -= {r.name for r in destinations(instr)}
            current |= {r.name for r in sources(instr)}
            needed.append(frozenset(current))
        needed.reverse()
        return needed

    def _region(self, instrs: list[Instr], needed: frozenset[str]) -> None:
        """One loop over chunks of lanes; what is needed afterwards goes back to the register file."""
        instrs = _without_dead(instrs, needed)
        if not instrs:
            return
        alu = AluEmitter(self._lowered, self._registers.number, self._registers.slot, self._params)
        for instr in instrs:
            emit_alu(alu, instr)
        stored = [r for r in alu.written.values() if r.name in needed]
        predicates = [r for r in stored if r.bits == 1]
        out = self._out
        out.append("{")
        for reg in predicates:
            out.append(f"K a{self._registers.number(reg)} = 0;")
        out.append("for (int h = 0; h < 32; h += W) {")
        out.extend(alu.lines)
        for reg in stored:
            name, slot = f"v{self._registers.number(reg)}", self._registers.slot(reg)
            if reg.bits == 1:
                out.append(f"a{self._registers.number(reg)} |= {name} << h;")
            elif reg.bits == 32:
                out.append(f"put(R + {slot * 32} + h, M >> h, {name});")
            else:
                out.append(f"put64(R + {slot * 32} + 2 * h, M >> h, {name}a);")
                out.append(f"put64(R + {slot * 32} + 2 * h + W, M >> (h + H), {name}b);")
        out.append("}")
        for reg in predicates:
            slot = self._registers.slot(reg)
            out.append(f"P[{slot}] = (P[{slot}] & ~M) | (a{self._registers.number(reg)} & M);")
        out.append("}")

    # -- control flow ---------------------------------------------------------------------------------------------

    def _terminate(self, block: Block) -> None:
        out = self._out
        last = block.terminator
        number = block.number

        def go(target: int) -> str:
            return f"GOBACK({target})" if target <= number else f"GO({target})"

        if last is None:
            out.append(f"{go(block.successors[0])};")
        elif is_barrier(last):
            site = len(self._sites.listed) - 1
            out.append(f"w->mask = M; w->pc = {block.successors[0]}; return kw_barrier(w, {site});")
        elif last.op in ("jump", "callf", "retf"):
            self._stack.terminate(number, block, go)
        elif last.op == "bra":
            if last.guard is None:
                out.append(f"{go(block.successors[0])};")
                return
            target, other = block.successors
            if target == other:
                out.append(f"{go(target)};")
                return
            out.append(f"const uint32_t t = {self._sites.mask(last)};")
            out.append(f"if (t == M) {{ {go(target)}; }} if (!t) {{ {go(other)}; }}")
            out.append(f"DIVERGE({number}, t, {target}, {other});")
        elif last.op == "brx":
            if last.guard is not None:
                refuse(last, "under a predicate is not supported by the emulator")
            table = self._sites.add(last)
            self._sites.operand(table, 0, last.operands[0])
            targets = ", ".join(map(str, block.successors))
            out.append(f"static const int32_t targets[] = {{{targets}}};")
            out.append(f"BRANCH_TABLE({table.number}, targets, {len(block.successors)});")
        else:
            following = block.successors[0] if block.successors else 0
            out.append(f"EXIT({self._sites.mask(last)}, {following}, {int(len(block.instrs) > 1)});")

    def _assemble(self) -> str:
        sites = ",\n".join(site.text() for site in self._sites.listed) or "{}"
        code = "\n".join(self._out)
        return (
            '#include "kernel.hpp"\n'
            f"{self._stack.tables()}"
            f'extern "C" const KwSite kw_sites[] = {{\n{sites}\n}};\n'
            'extern "C" int32_t kw_kernel(KwWarp* w, KwLaunch* L) {\n'
            "uint32_t* const R = (uint32_t*)__builtin_assume_aligned(w->R, 64); uint32_t* const P = w->P;\n"
            "uint64_t* const N = L->block_counts;\n"
            "uint32_t M = w->mask; int32_t pc = w->pc;\n"
            f"AGAIN: switch (pc) {{\n{code}\ndefault: __builtin_unreachable();\n}}\n}}\n"
        )


def _asks_for_workspace(instr: Instr) -> bool:
    return any(isinstance(o, Special) and o.name.startswith("%envreg") for o in instr.operands)


def _looks_at_others(site: Site) -> bool:
    """Whether a site reads global memory as one does to learn what other blocks have done."""
    op, *mods = site.info.opcode.split(".")
    reads = (op == "atom" and site.slot[0] >= 0) or (op == "ld" and site.is_volatile)
    in_block = any(m.startswith("shared") or m == "local" for m in mods) or (
        bool(site.info.origins) and all(kind == "shared" for kind, _ in site.info.origins)
    )
    return reads and not in_block


def _prepared(item: Instr | LabelDef) -> Instr | LabelDef:
    if isinstance(item, Instr) and item.op == "bar" and item.mods[:1] == ("cta",):
        return Instr("bar", item.mods[1:], item.operands, item.where, item.guard, item.guard_negated)
    return item


def _cost(block: Block) -> BlockInfo:
    by_line: dict[int, list[Instr]] = {}
    for instr in block.instrs:
        if not is_helper(instr):
            by_line.setdefault(instr.where.line or 0, []).append(instr)
    lines = tuple(_line_cost(line, instrs) for line, instrs in by_line.items())
    last = block.terminator
    return BlockInfo(
        where=block.instrs[0].where,
        classes=_total(cost.classes for cost in lines),
        flops=_total(cost.flops for cost in lines),
        branches=sum(cost.branches for cost in lines),
        tensor_flops=_total(
            {kind: operations[1]} for i in block.instrs if (kind := tensor_type(i)) and (operations := flops(i))
        ),
        lines=lines,
        branch_line=(last.where.line or 0) if last is not None else 0,
    )


def _line_cost(line: int, instrs: list[Instr]) -> LineCost:
    found = [operations for instr in instrs if (operations := flops(instr))]
    return LineCost(
        line=line,
        called_from=frozenset(i.where.called_from for i in instrs if i.where.called_from),
        classes=dict(Counter(name for instr in instrs if (name := issue_class(instr)))),
        flops=_total({kind: count} for kind, count in found),
        branches=sum(instr.op in ("bra", "brx") for instr in instrs),
    )


def _total(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return total


def _without_dead(instrs: list[Instr], needed: frozenset[str]) -> list[Instr]:
    """Drops instructions whose results nobody reads."""
    wanted = set(needed)
    kept: list[Instr] = []
    for instr in reversed(instrs):
        written = {r.name for r in destinations(instr)}
        if not written & wanted:
            continue
        if instr.guard is None:
            wanted -= written
        wanted |= {r.name for r in sources(instr)}
        kept.append(instr)
    kept.reverse()
    return kept
