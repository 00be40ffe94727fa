"""C++ for functions with frames: calls, returns, what is saved around them, and memory taken at run time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kernelwright.sandbox.emulator.flow import Block
from kernelwright.sandbox.emulator.frames import ABI, STACK
from kernelwright.sandbox.emulator.ptx import Imm, Instr, Reg, Sym, Vec
from kernelwright.sandbox.emulator.sites import Registers, Sites

__all__ = ["StackEmitter"]


class StackEmitter:
    """Appends to `out`; `live` are all registers by name, `functions` the addresses of device functions."""

    def __init__(
        self,
        sites: Sites,
        registers: Registers,
        live: Mapping[str, Reg],
        functions: Mapping[str, int],
        out: list[str],
    ) -> None:
        self._sites = sites
        self._registers = registers
        self._live = live
        self._functions = functions
        self._out = out
        self._saved: dict[int, list[Reg]] = {}
        self._tables: list[str] = []
        self.ordered = False
        """Whether blocks must run one after the other: addresses of malloc depend on the order."""

    def plan(self, blocks: Sequence[Block]) -> None:
        """Finds what each call must save: what is alive where it comes back, if it may come back to its own function."""
        for block in blocks:
            first = block.instrs[0]
            if first.op == "restore":
                names = sorted(block.live_in) if "saved" in first.mods else []
                kept = [self._live[n] for n in names if not n.startswith(ABI) and n != STACK.name]
                self._saved[_number(first.operands[0])] = kept

    def tables(self) -> str:
        """The tables of all calls as C++, for the beginning of the file."""
        return "".join(self._tables)

    def call(self, instr: Instr) -> bool:
        """Appends an instruction that is no terminator; False if it is none of these."""
        if instr.op == "restore":
            number = _number(instr.operands[0])
            if self._saved[number]:
                self._out.append(f"kw_restore(w, M, call{number});")
        elif instr.op in ("frame", "alloca", "stackrestore", "malloc"):
            site = self._sites.add(instr)
            for i, operand in enumerate(instr.operands):
                self._sites.operand(site, i, operand)
            self.ordered |= instr.op == "malloc"
            mask = self._sites.mask(instr)
            call = f"kw_{instr.op}(w, {mask}, {site.number})"
            self._out.append(f"{call};" if instr.op == "malloc" else f"if (!{call}) return KW_STOP;")
        elif instr.op == "free":
            self.ordered = True
            site = self._sites.add(instr)
            self._sites.operand(site, 0, instr.operands[0])
            self._out.append(f"kw_free(w, {self._sites.mask(instr)}, {site.number});")
        else:
            return False
        return True

    def terminate(self, number: int, block: Block, go: Callable[[int], str]) -> None:
        """Appends what ends block `number`; `go` is the way to another one."""
        last = block.terminator
        assert last is not None
        if last.op == "jump":
            self._out.append(f"{go(block.successors[0])};")
        elif last.op == "retf":
            self._out.append(f"RETURN({number});")
        else:
            self._call(block, last)

    def _call(self, block: Block, last: Instr) -> None:
        pointer, number, _, names = last.operands
        assert isinstance(names, Vec)
        back, *entries = block.successors
        call = _number(number)
        site = self._sites.add(last)
        saved = self._saved[call]
        by_bits = {bits: [self._registers.slot(r) for r in saved if r.bits == bits] for bits in (32, 64, 1)}
        table = [back, *(len(slots) for slots in by_bits.values()), *(n for slots in by_bits.values() for n in slots)]
        self._tables.append(f"static const int32_t call{call}[] = {{{', '.join(map(str, table))}}};\n")
        if pointer is None:
            self._out.append(f"CALL({site.number}, call{call}, {entries[0]});")
            return
        self._sites.operand(site, 0, pointer)
        addresses = [self._functions[name.name] for name in names.items if isinstance(name, Sym)]
        pairs = ", ".join(f"{a:#x}ull, {b}" for a, b in zip(addresses, entries, strict=True)) or "0"
        self._tables.append(f"static const uint64_t entries{call}[] = {{{pairs}}};\n")
        self._out.append(f"CALL_POINTER({site.number}, call{call}, entries{call}, {len(entries)});")


def _number(operand: object) -> int:
    assert isinstance(operand, Imm)
    return operand.value
