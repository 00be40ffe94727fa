"""A lowered kernel as C++: a switch over basic blocks, vector loops inside them, calls into the runtime between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from kernelwright.errors import EmulatorError, UnsupportedError
from kernelwright.sandbox.emulator.alu import AluEmitter, is_alu, refuse
from kernelwright.sandbox.emulator.counts import flops, issue_class
from kernelwright.sandbox.emulator.flow import Block, build_blocks, is_barrier, is_collective, mark_live
from kernelwright.sandbox.emulator.lower import Lowered, destinations, sources
from kernelwright.sandbox.emulator.provenance import Origin, Origins, find_origins
from kernelwright.sandbox.emulator.ptx import TYPE_BYTES, Imm, Instr, LabelDef, Mem, Operand, Reg, Sym, Vec, Where

__all__ = ["BlockInfo", "SiteInfo", "Translated", "translate"]


@dataclass(frozen=True)
class SiteInfo:
    """A place that calls the runtime, for reports."""

    where: Where
    opcode: str
    origins: frozenset[Origin]


@dataclass(frozen=True)
class BlockInfo:
    """What one pass of a warp through a basic block costs."""

    where: Where
    classes: Mapping[str, int]
    flops: Mapping[str, int]
    branches: int


@dataclass(frozen=True)
class Translated:
    """The C++ of a kernel and what is needed to run it and to explain what it did."""

    cpp: str
    sites: tuple[SiteInfo, ...]
    blocks: tuple[BlockInfo, ...]
    slots: int
    predicates: int
    ordered: bool
    """Whether blocks must run one after the other for the result to be the same every time."""


@dataclass
class _Site:
    """Fields of a KwSite (runtime/abi.hpp)."""

    info: SiteInfo
    address: int = 0
    address_bits: int = 64
    offset: int = 0
    slot: list[int] = field(default_factory=lambda: [-1] * 6)
    imm: list[int] = field(default_factory=lambda: [0] * 6)
    extra: list[int] = field(default_factory=lambda: [-1] * 6)
    provenance: int = -1

    def text(self) -> str:
        def listed(values: Sequence[int]) -> str:
            return ", ".join(
                f"(int64_t){v & 0xFFFFFFFFFFFFFFFF:#x}ull" if not -(2**31) <= v < 2**31 else str(v) for v in values
            )

        return (
            f"{{{self.address}, {self.address_bits}, {listed([self.offset])}, {{{listed(self.slot)}}}, "
            f"{{{listed(self.imm)}}}, {{{listed(self.extra)}}}, {self.provenance}, 0}}"
        )


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
        self._shared_index = {name: i for i, name in enumerate(lowered.shared)}
        self._sites: list[_Site] = []
        self._temporaries = 0
        self._slots: dict[str, int] = {}
        self._slot_count = 0
        self._predicates: dict[str, int] = {}
        self._numbers: dict[str, int] = {}
        self._out: list[str] = []
        self._ordered = False
        self._origins = Origins({})
        self._read: frozenset[str] = frozenset()

    def run(self) -> Translated:
        blocks = build_blocks([self._prepared(item) for item in self._lowered.body])
        for block in blocks:
            block.instrs = [part for instr in block.instrs for part in self._split(instr)]
        mark_live(blocks)
        self._read = frozenset(r.name for b in blocks for i in b.instrs for r in sources(i))
        self._origins = find_origins((i for b in blocks for i in b.instrs), self._lowered, self._params)
        for block in blocks:
            self._block(block)
        cpp = self._assemble(blocks)
        return Translated(
            cpp=cpp,
            sites=tuple(s.info for s in self._sites),
            blocks=tuple(_cost(b) for b in blocks),
            slots=self._slot_count,
            predicates=len(self._predicates),
            ordered=self._ordered,
        )

    def _prepared(self, item: Instr | LabelDef) -> Instr | LabelDef:
        if isinstance(item, Instr) and item.op == "bar" and item.mods[:1] == ("cta",):
            return Instr("bar", item.mods[1:], item.operands, item.where, item.guard, item.guard_negated)
        return item

    # -- registers ------------------------------------------------------------------------------------------------

    def _number(self, reg: Reg) -> int:
        return self._numbers.setdefault(reg.name, len(self._numbers))

    def _slot(self, reg: Reg) -> int:
        """The place of a register in the warp's file: a predicate's word, or units of 32 words."""
        if reg.bits == 1:
            return self._predicates.setdefault(reg.name, len(self._predicates))
        if reg.name not in self._slots:
            self._slots[reg.name] = self._slot_count
            self._slot_count += reg.bits // 32
        return self._slots[reg.name]

    def _fresh(self, bits: int) -> Reg:
        self._temporaries += 1
        return Reg(f"%%t{self._temporaries}", "b64" if bits == 64 else "b32")

    # -- making runtime calls uniform -----------------------------------------------------------------------------

    def _split(self, instr: Instr) -> list[Instr]:
        """Memory instructions with their operands in registers of the lane's width, the rest as moves around them."""
        op, mods = instr.op, instr.mods
        if op == "ldu":
            instr = Instr("ld", mods, instr.operands, instr.where, instr.guard, instr.guard_negated)
            op = "ld"
        if op == "ld" and "param" not in mods:
            return self._split_load(instr)
        if op == "st":
            return self._split_store(instr)
        if op in ("atom", "red"):
            return self._split_atomic(instr)
        if op == "cp":
            return self._split_copy(instr)
        return [instr]

    def _address_register(self, instr: Instr, address: Operand | None, before: list[Instr]) -> Mem:
        """`[symbol+n]` as `[register+0]`."""
        if not isinstance(address, Mem):
            refuse(instr)
        if isinstance(address.base, Reg):
            return address
        reg = self._fresh(64)
        value: Operand = Imm(address.offset) if address.base is None else Sym(address.base.name, address.base.offset)
        before.append(Instr("mov", ("b64",), (reg, value), instr.where))
        return Mem(reg, address.offset if address.base is not None else 0)

    def _split_load(self, instr: Instr) -> list[Instr]:
        target, address = instr.operands[0], instr.operands[1]
        before: list[Instr] = []
        after: list[Instr] = []
        memory = self._address_register(instr, address, before)
        type_ = instr.mods[-1]
        size = TYPE_BYTES.get(type_)
        if size is None or size > 8:
            refuse(instr)
        items = list(target.items) if isinstance(target, Vec) else [target]
        made: list[Operand | None] = []
        for item in items:
            if not isinstance(item, Reg):
                made.append(self._fresh(64 if size == 8 else 32))
                continue
            fits = item.bits == (64 if size == 8 else 32)
            plain = size >= 4 or (type_[0] != "s" and item.bits == 32)
            if fits and plain:
                made.append(item)
                continue
            raw = self._fresh(64 if size == 8 else 32)
            made.append(raw)
            kind = type_ if type_[0] in "su" else f"u{8 * size}"
            to = f"{'s' if kind[0] == 's' else 'u'}{64 if item.bits == 64 else 32}"
            after.append(Instr("cvt", (to, kind), (item, raw), instr.where, instr.guard, instr.guard_negated))
        load = Instr("ld", instr.mods, (Vec(tuple(made)), memory), instr.where, instr.guard, instr.guard_negated)
        return [*before, load, *after]

    def _split_store(self, instr: Instr) -> list[Instr]:
        address, value = instr.operands[0], instr.operands[1]
        before: list[Instr] = []
        memory = self._address_register(instr, address, before)
        size = TYPE_BYTES.get(instr.mods[-1])
        if size is None or size > 8:
            refuse(instr)
        items = list(value.items) if isinstance(value, Vec) else [value]
        made = tuple(self._in_register(item, 64 if size == 8 else 32, instr, before) for item in items)
        return [*before, Instr("st", instr.mods, (memory, Vec(made)), instr.where, instr.guard, instr.guard_negated)]

    def _in_register(self, item: Operand | None, bits: int, instr: Instr, before: list[Instr]) -> Reg:
        if isinstance(item, Reg) and item.bits == bits:
            return item
        reg = self._fresh(bits)
        if isinstance(item, Reg):
            before.append(Instr("cvt", (f"u{bits}", f"u{item.bits}"), (reg, item), instr.where))
        else:
            before.append(Instr("mov", (f"b{bits}",), (reg, item), instr.where))
        return reg

    def _split_atomic(self, instr: Instr) -> list[Instr]:
        before: list[Instr] = []
        operands = list(instr.operands)
        at = 0 if instr.op == "red" else 1
        if any(isinstance(o, Vec) for o in operands):
            refuse(instr, "on vectors is not supported by the emulator")
        operands[at] = self._address_register(instr, operands[at], before)
        size = TYPE_BYTES.get(instr.mods[-1])
        if size is None or size > 8:
            refuse(instr)
        for i in range(at + 1, len(operands)):
            operands[i] = self._in_register(operands[i], 64 if size == 8 else 32, instr, before)
        return [*before, instr.with_operands(*operands)]

    def _split_copy(self, instr: Instr) -> list[Instr]:
        if instr.mods[:1] != ("async",) or any(m in instr.mods for m in ("bulk", "mbarrier")):
            refuse(instr)
        if "commit_group" in instr.mods or "wait_group" in instr.mods or "wait_all" in instr.mods:
            return [instr]
        before: list[Instr] = []
        to, of, *rest = instr.operands
        operands: list[Operand | None] = [
            self._address_register(instr, to, before),
            self._address_register(instr, of, before),
            *rest,
        ]
        return [*before, instr.with_operands(*operands)]

    # -- blocks ---------------------------------------------------------------------------------------------------

    def _block(self, block: Block) -> None:
        out = self._out
        number = block.number
        out.append(f"case {number}: B{number}: {{")
        first = block.instrs[0]
        if is_barrier(first):
            self._collect(block, self._barrier_site(first), 0)
        elif is_collective(first):
            self._collect(block, self._collective_site(first), 1)
        issued = sum(issue_class(i) is not None and not _is_helper(i) for i in block.instrs)
        out.append(f"ENTER({number}, {issued});")
        pending: list[Instr] = []
        needed = self._needed_after(block)
        for i, instr in enumerate(block.instrs):
            if instr is block.terminator:
                break
            if is_alu(instr):
                pending.append(instr)
                continue
            self._region(pending, needed[i], block)
            pending = []
            self._call(instr)
        self._region(pending, needed[len(block.instrs) - (block.terminator is not None)], block)
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

    def _region(self, instrs: list[Instr], needed: frozenset[str], block: Block) -> None:
        """One loop over chunks of lanes; what is needed afterwards goes back to the register file."""
        instrs = _without_dead(instrs, needed)
        if not instrs:
            return
        alu = AluEmitter(self._lowered, self._number, self._slot, self._params)
        for instr in instrs:
            alu.emit(instr)
        stored = [r for r in alu.written.values() if r.name in needed]
        predicates = [r for r in stored if r.bits == 1]
        out = self._out
        out.append("{")
        for reg in predicates:
            out.append(f"K a{self._number(reg)} = 0;")
        out.append("for (int h = 0; h < 32; h += W) {")
        out.extend(alu.lines)
        for reg in stored:
            name, slot = f"v{self._number(reg)}", self._slot(reg)
            if reg.bits == 1:
                out.append(f"a{self._number(reg)} |= {name} << h;")
            elif reg.bits == 32:
                out.append(f"put(R + {slot * 32} + h, M >> h, {name});")
            else:
                out.append(f"put64(R + {slot * 32} + 2 * h, M >> h, {name}a);")
                out.append(f"put64(R + {slot * 32} + 2 * h + W, M >> (h + H), {name}b);")
        out.append("}")
        for reg in predicates:
            slot = self._slot(reg)
            out.append(f"P[{slot}] = (P[{slot}] & ~M) | (a{self._number(reg)} & M);")
        out.append("}")

    # -- runtime calls --------------------------------------------------------------------------------------------

    def _site(self, instr: Instr, address: Mem | None = None) -> _Site:
        origins = self._origins.of(address, self._lowered) if address is not None else frozenset()
        site = _Site(SiteInfo(instr.where, instr.opcode, origins))
        if address is not None:
            assert isinstance(address.base, Reg)
            site.address = self._slot(address.base)
            site.address_bits = address.base.bits
            site.offset = address.offset
            if len(origins) == 1:
                ((kind, name),) = origins
                if kind == "shared":
                    site.provenance = self._shared_index[str(name)]
        self._sites.append(site)
        return site

    def _index(self, site: _Site) -> int:
        return next(i for i in range(len(self._sites) - 1, -1, -1) if self._sites[i] is site)

    def _operand(self, site: _Site, i: int, operand: Operand | None) -> None:
        """Operand `i` of a site: a register's slot or a constant."""
        if isinstance(operand, Reg):
            site.slot[i] = self._slot(operand)
        elif isinstance(operand, Imm):
            site.imm[i] = (
                operand.value & 0xFFFFFFFF if operand.value >= 0 or operand.value >= -(2**31) else operand.value
            )
        elif operand is not None:
            raise EmulatorError(f"the PTX has {operand} as an operand of {site.info.opcode}")

    def _mask(self, instr: Instr) -> str:
        if instr.guard is None:
            return "M"
        return f"(M & {'~' if instr.guard_negated else ''}P[{self._slot(instr.guard)}])"

    def _predicate(self, operand: Operand | None) -> tuple[int, int]:
        """(index, negated) of a predicate operand; -1 for a constant."""
        if isinstance(operand, Vec) and isinstance(operand.items[0], Reg):
            return self._slot(operand.items[0]), 1
        if isinstance(operand, Reg):
            return self._slot(operand), 0
        return -1, 0

    def _call(self, instr: Instr) -> None:
        handlers: dict[str, Callable[[Instr], None]] = {
            "ld": self._load_store,
            "st": self._load_store,
            "atom": self._atomic,
            "red": self._atomic,
            "cp": self._copy_async,
            "shfl": self._emit_collective,
            "vote": self._emit_collective,
            "match": self._emit_collective,
            "redux": self._emit_collective,
            "barresult": self._barrier_result,
            "trap": self._trap,
            "brkpt": self._trap,
            "assert": self._assert,
            "printf": self._printf,
        }
        if instr.op in ("bar", "barrier"):
            if "warp" in instr.mods:
                return  # its lanes have been collected at the block's beginning
            site = self._barrier_site(instr)
            self._out.append(f"w->mask = M; kw_arrive(w, {site});")
            return
        handler = handlers.get(instr.op)
        if handler is None:
            refuse(instr)
        handler(instr)

    def _load_store(self, instr: Instr) -> None:
        load = instr.op == "ld"
        address, value = (instr.operands[1], instr.operands[0]) if load else (instr.operands[0], instr.operands[1])
        assert isinstance(address, Mem)
        assert isinstance(value, Vec)
        size = TYPE_BYTES[instr.mods[-1]]
        count = len(value.items)
        if size * count > 16:
            refuse(instr, "moves more than 16 bytes a lane, which is not supported by the emulator")
        site = self._site(instr, address)
        for i, item in enumerate(value.items):
            assert isinstance(item, Reg)
            site.slot[i] = self._slot(item)
        function = f"kw_{instr.op}_{_space(instr)}_{size}_{count}"
        self._out.append(f"{function}(w, {self._mask(instr)}, {self._index(site)});")

    def _atomic(self, instr: Instr) -> None:
        has_result = instr.op == "atom"
        operands = instr.operands[1:] if has_result else instr.operands
        address = operands[0]
        assert isinstance(address, Mem)
        type_ = instr.mods[-1]
        operation = next((m for m in instr.mods if m in _ATOMIC_OPS), None)
        if operation is None or type_ not in _ATOMIC_TYPES:
            refuse(instr)
        site = self._site(instr, address)
        target = instr.operands[0] if has_result else None
        wanted = isinstance(target, Reg) and target.name in self._read
        if wanted:
            self._operand(site, 0, target)
        for i, operand in enumerate(operands[1:3]):
            self._operand(site, 1 + i, operand)
        site.extra[0] = _ATOMIC_OPS.index(operation)
        site.extra[1] = _ATOMIC_TYPES[type_]
        space = _space(instr)
        exact = type_ not in ("f32", "f64", "f16", "bf16", "f16x2", "bf16x2") and operation not in ("exch", "cas")
        if space != "shared" and (wanted or not exact):
            self._ordered = True
        self._out.append(f"kw_atom_{space}(w, {self._mask(instr)}, {self._index(site)});")

    def _copy_async(self, instr: Instr) -> None:
        mask = self._mask(instr)
        if "commit_group" in instr.mods:
            self._out.append(f"kw_copy_commit(w, {mask}, {self._index(self._site(instr))});")
            return
        if "wait_group" in instr.mods or "wait_all" in instr.mods:
            site = self._site(instr)
            count = instr.operands[0] if instr.operands else Imm(-1)
            if not isinstance(count, Imm):
                refuse(instr)
            site.imm[0] = count.value
            self._out.append(f"kw_copy_wait(w, {mask}, {self._index(site)});")
            return
        to, of, size, *rest = instr.operands
        assert isinstance(to, Mem)
        assert isinstance(of, Mem)
        assert isinstance(size, Imm)
        assert isinstance(to.base, Reg)
        site = self._site(instr, of)
        site.slot[1] = self._slot(to.base)
        site.imm[1] = to.offset
        site.extra[0] = size.value
        site.extra[1] = to.base.bits
        site.imm[2] = size.value
        for operand in rest:
            if isinstance(operand, Reg) and operand.bits == 1:
                site.extra[2] = self._slot(operand)
            elif isinstance(operand, Reg | Imm) and "L2::cache_hint" not in instr.mods:
                self._operand(site, 2, operand)
        self._out.append(f"kw_copy_async(w, {mask}, {self._index(site)});")

    def _collect(self, block: Block, site: int, kind: int) -> None:
        """Waits for missing lanes before a warp-wide operation."""
        self._out.append(f"COLLECT({block.number}, {site}, {kind});")

    def _collective_site(self, instr: Instr) -> int:
        site = self._site(instr)
        operands = instr.operands
        if instr.op == "bar":  # bar.warp.sync members
            self._operand(site, 4, operands[0])
        elif instr.op == "shfl":
            target, a, b, c, members = operands
            first, second = target.items if isinstance(target, Vec) else (target, None)
            for i, operand in enumerate((first, a, b, c, members)):
                self._operand(site, i, operand)
            site.extra[0] = ("up", "down", "bfly", "idx").index(instr.mods[1])
            site.extra[1] = self._predicate(second)[0]
        elif instr.op == "vote":
            target, a, members = operands
            site.extra[0], site.extra[1] = self._predicate(a)
            if isinstance(a, Imm):
                site.imm[1] = a.value
            site.extra[2] = ("all", "any", "uni", "ballot").index(instr.mods[1])
            if site.extra[2] == 3:
                self._operand(site, 0, target)
            else:
                site.extra[3] = self._predicate(target)[0]
            self._operand(site, 4, members)
        elif instr.op == "match":
            target, a, members = operands
            first, second = target.items if isinstance(target, Vec) else (target, None)
            self._operand(site, 0, first)
            self._operand(site, 1, a)
            self._operand(site, 4, members)
            site.extra[0] = ("any", "all").index(instr.mods[0])
            site.extra[1] = 64 if instr.mods[-1] == "b64" else 32
            site.extra[2] = self._predicate(second)[0]
        else:
            target, a, members = operands
            if instr.mods[-1] == "f32":
                refuse(instr)
            for i, operand in ((0, target), (1, a), (4, members)):
                self._operand(site, i, operand)
            site.extra[0] = ("add", "min", "max", "and", "or", "xor").index(instr.mods[1])
            site.extra[1] = int(instr.mods[-1][0] == "s")
        return self._index(site)

    def _emit_collective(self, instr: Instr) -> None:
        if "sync" not in instr.mods:
            refuse(instr, "without .sync is not supported by the emulator")
        # Its site was made at the block's beginning.
        self._out.append(f"kw_{instr.op}(w, M, {len(self._sites) - 1});")

    def _barrier_site(self, instr: Instr) -> int:
        site = self._site(instr)
        site.imm[3] = -1
        site.extra[2] = 0
        operands = list(instr.operands)
        if instr.op == "barred":
            site.extra[0], site.extra[1] = self._predicate(operands.pop())
            site.extra[2] = ("popc", "and", "or").index(next(m for m in instr.mods if m in ("popc", "and", "or")))
        if operands:
            self._operand(site, 2, operands[0])
        if len(operands) > 1:
            self._operand(site, 3, operands[1])
        return self._index(site)

    def _barrier_result(self, instr: Instr) -> None:
        site = self._site(instr)
        target = instr.operands[0]
        site.extra[3] = self._predicate(target)[0] if isinstance(target, Reg) and target.bits == 1 else -1
        if site.extra[3] < 0:
            self._operand(site, 0, target)
        self._out.append(f"kw_barrier_result(w, M, {self._index(site)});")

    def _trap(self, instr: Instr) -> None:
        self._out.append(f"kw_trap(w, M, {self._index(self._site(instr))}); if (M) return KW_STOP;")

    def _assert(self, instr: Instr) -> None:
        site = self._site(instr)
        self._operand(site, 0, instr.operands[0])
        self._out.append(f"kw_assert(w, M, {self._index(site)}); if (M) return KW_STOP;")

    def _printf(self, instr: Instr) -> None:
        site = self._site(instr)
        for i, operand in enumerate(instr.operands):
            self._operand(site, i, operand)
        self._ordered = True
        self._out.append(f"kw_printf(w, M, {self._index(site)});")

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
            site = len(self._sites) - 1
            out.append(f"w->mask = M; w->pc = {block.successors[0]}; return kw_barrier(w, {site});")
        elif last.op == "bra":
            if last.guard is None:
                out.append(f"{go(block.successors[0])};")
                return
            target, other = block.successors
            if target == other:
                out.append(f"{go(target)};")
                return
            out.append(f"const uint32_t t = {self._mask(last)};")
            out.append(f"if (t == M) {{ {go(target)}; }} if (!t) {{ {go(other)}; }}")
            out.append(f"DIVERGE(t, {target}, {other});")
        elif last.op == "brx":
            if last.guard is not None:
                refuse(last, "under a predicate is not supported by the emulator")
            table = self._site(last)
            self._operand(table, 0, last.operands[0])
            targets = ", ".join(map(str, block.successors))
            out.append(f"static const int32_t targets[] = {{{targets}}};")
            out.append(f"BRANCH_TABLE({self._index(table)}, targets, {len(block.successors)});")
        else:
            following = block.successors[0] if block.successors else 0
            out.append(f"EXIT({self._mask(last)}, {following}, {int(len(block.instrs) > 1)});")

    def _assemble(self, blocks: Sequence[Block]) -> str:
        sites = ",\n".join(site.text() for site in self._sites) or "{}"
        code = "\n".join(self._out)
        return (
            '#include "kernel.hpp"\n'
            f'extern "C" const KwSite kw_sites[] = {{\n{sites}\n}};\n'
            'extern "C" int32_t kw_kernel(KwWarp* w, KwLaunch* L) {\n'
            "uint32_t* const R = (uint32_t*)__builtin_assume_aligned(w->R, 64); uint32_t* const P = w->P;\n"
            "uint64_t* const N = L->block_counts;\n"
            "uint32_t M = w->mask; int32_t pc = w->pc;\n"
            f"AGAIN: switch (pc) {{\n{code}\ndefault: __builtin_unreachable();\n}}\n}}\n"
        )


_ATOMIC_OPS = ("add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec")
_ATOMIC_TYPES = {
    "u32": 0, "b32": 0, "s32": 1, "u64": 2, "b64": 2, "s64": 3, "f32": 4, "f64": 5,
    "f16": 6, "bf16": 7, "f16x2": 8, "bf16x2": 9, "b16": 10, "u16": 10,
}  # fmt: skip


def _space(instr: Instr) -> str:
    for mod in instr.mods:
        if mod in ("global", "const"):
            return "global"
        if mod in ("shared", "shared::cta"):
            return "shared"
        if mod == "local":
            return "local"
        if mod in ("param", "shared::cluster"):
            raise UnsupportedError(
                f"the PTX instruction {instr.opcode} is not supported by the emulator", line=instr.where.line
            )
    return "generic"


def _is_helper(instr: Instr) -> bool:
    """Moves that the translation added."""
    operands = (*instr.operands[:2],)
    return any(isinstance(o, Reg) and o.name.startswith("%%t") for o in operands) and instr.op in ("mov", "cvt")


def _cost(block: Block) -> BlockInfo:
    classes: dict[str, int] = {}
    operations: dict[str, int] = {}
    branches = 0
    for instr in block.instrs:
        if _is_helper(instr):
            continue
        if name := issue_class(instr):
            classes[name] = classes.get(name, 0) + 1
        if found := flops(instr):
            operations[found[0]] = operations.get(found[0], 0) + found[1]
        branches += instr.op in ("bra", "brx")
    return BlockInfo(block.instrs[0].where, classes, operations, branches)


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
