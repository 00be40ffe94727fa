"""Places that call the runtime, and where registers live: the tables that generated code and runtime share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from kernelwright.errors import EmulatorError
from kernelwright.sandbox.emulator.lower import Lowered
from kernelwright.sandbox.emulator.provenance import Origin, Origins
from kernelwright.sandbox.emulator.ptx import Imm, Instr, Mem, Operand, Reg, Vec, Where

__all__ = ["Registers", "Site", "SiteInfo", "Sites"]


@dataclass(frozen=True)
class SiteInfo:
    """A place that calls the runtime, for reports."""

    where: Where
    opcode: str
    origins: frozenset[Origin]
    role: str = ""
    """`load`, `store` or `atomic` for an access that may go to global memory and that others could disturb."""
    bytes: int = 0
    """Bytes that one lane moves, if there is a role."""


@dataclass
class Site:
    """Fields of a KwSite (runtime/abi.hpp)."""

    info: SiteInfo
    address: int = 0
    address_bits: int = 64
    offset: int = 0
    slot: list[int] = field(default_factory=lambda: [-1] * 8)
    imm: list[int] = field(default_factory=lambda: [0] * 6)
    extra: list[int] = field(default_factory=lambda: [-1] * 6)
    provenance: int = -1
    is_volatile: bool = False
    releases: bool = False
    """A store after which others may rely on what was stored before."""
    loads_float: bool = False
    """What is loaded is used as a floating-point number."""
    moves_matrix: bool = False
    """A warp's access to a matrix: one instruction, also where a header's function stands for it."""
    number: int = 0

    def text(self) -> str:
        def listed(values: Sequence[int]) -> str:
            return ", ".join(
                f"(int64_t){v & 0xFFFFFFFFFFFFFFFF:#x}ull" if not -(2**31) <= v < 2**31 else str(v) for v in values
            )

        return (
            f"{{{self.address}, {self.address_bits}, {listed([self.offset])}, {{{listed(self.slot)}}}, "
            f"{{{listed(self.imm)}}}, {{{listed(self.extra)}}}, {self.provenance}, {self._flags()}}}"
        )

    def _flags(self) -> int:
        """`KwSite::is_volatile`."""
        flags = (self.is_volatile, self.info.where.in_header, self.releases, self.loads_float, self.moves_matrix)
        return sum(1 << i for i, flag in enumerate(flags) if flag)

    def accesses_global(self, role: str, size: int) -> None:
        """Notes that the site may reach global memory, `size` bytes a lane; `role` is one of `SiteInfo.role`."""
        self.info = replace(self.info, role=role, bytes=size)


_ORDERED = frozenset(("volatile", "relaxed", "acquire", "release", "mmio"))
"""Accesses that a program makes on purpose while others write: they take no part in the search for races."""


class Registers:
    """Places in a warp's register file, given out on first use."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._slots: dict[str, int] = {}
        self._predicates: dict[str, int] = {}
        self.slots = 0
        """Units of 32 words in use."""

    @property
    def predicates(self) -> int:
        """Predicate words in use."""
        return len(self._predicates)

    def number(self, reg: Reg) -> int:
        """A small number that names the register in generated code."""
        return self._numbers.setdefault(reg.name, len(self._numbers))

    def slot(self, reg: Reg) -> int:
        """The place of a register: a predicate's word, or units of 32 words."""
        if reg.bits == 1:
            return self._predicates.setdefault(reg.name, len(self._predicates))
        if reg.name not in self._slots:
            self._slots[reg.name] = self.slots
            self.slots += reg.bits // 32
        return self._slots[reg.name]


class Sites:
    """The sites of a kernel, in the order of their numbers."""

    def __init__(self, lowered: Lowered, registers: Registers, origins: Origins) -> None:
        self._lowered = lowered
        self._registers = registers
        self._origins = origins
        self._shared_index = {name: i for i, name in enumerate(lowered.shared)}
        self.listed: list[Site] = []

    def add(self, instr: Instr, address: Mem | None = None) -> Site:
        """A new site; `address` is what a memory instruction goes to, a register and an offset."""
        origins = self._origins.of(address, self._lowered) if address is not None else frozenset()
        site = Site(SiteInfo(instr.where, instr.opcode, origins))
        if address is not None:
            assert isinstance(address.base, Reg)
            site.address = self._registers.slot(address.base)
            site.address_bits = address.base.bits
            site.offset = address.offset
            if len(origins) == 1:
                ((kind, name),) = origins
                if kind == "shared":
                    site.provenance = self._shared_index[str(name)]
        site.is_volatile = bool(_ORDERED & set(instr.mods))
        site.releases = instr.op == "st" and "release" in instr.mods
        site.number = len(self.listed)
        self.listed.append(site)
        return site

    def parameter_bounds(self, origins: frozenset[Origin]) -> tuple[int, int]:
        """(first byte, byte past the end) that an address in the parameter buffer may reach."""
        found = [p for p in self._lowered.params if ("struct", p.name) in origins]
        if len(origins) == 1 and found:
            return found[0].offset, found[0].offset + found[0].bytes
        return 0, self._lowered.param_bytes

    def operand(self, site: Site, i: int, operand: Operand | None) -> None:
        """Operand `i` of a site: a register's slot or a constant."""
        if isinstance(operand, Reg):
            site.slot[i] = self._registers.slot(operand)
        elif isinstance(operand, Imm):
            site.imm[i] = operand.value
        elif operand is not None:
            raise EmulatorError(f"the PTX has {operand} as an operand of {site.info.opcode}")

    def mask(self, instr: Instr) -> str:
        """The lanes that take part, as C++."""
        if instr.guard is None:
            return "M"
        return f"(M & {'~' if instr.guard_negated else ''}P[{self._registers.slot(instr.guard)}])"

    def predicate(self, operand: Operand | None) -> tuple[int, int]:
        """(index, negated) of a predicate operand; -1 for a constant."""
        if isinstance(operand, Vec) and isinstance(operand.items[0], Reg):
            return self._registers.slot(operand.items[0]), 1
        if isinstance(operand, Reg):
            return self._registers.slot(operand), 0
        return -1, 0
