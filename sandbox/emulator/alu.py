"""C++ for instructions that compute lane by lane: one vector statement each (see runtime/alu_int.hpp and its kin)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn

from kernelwright.errors import EmulatorError, UnsupportedError
from kernelwright.sandbox.emulator.lower import RESERVED, RESERVED_BYTES, Lowered
from kernelwright.sandbox.emulator.ptx import TYPE_BYTES, Imm, Instr, Mem, Operand, Reg, Special, Sym, Vec

__all__ = ["AluEmitter", "refuse"]


_SPECIAL_32: Mapping[str, str] = {
    **{f"%tid.{axis}": f"get(w->tid[{i}] + h)" for i, axis in enumerate("xyz")},
    **{f"%ntid.{axis}": f"bc(L->ntid[{i}])" for i, axis in enumerate("xyz")},
    **{f"%ctaid.{axis}": f"bc(L->ctaid[{i}])" for i, axis in enumerate("xyz")},
    **{f"%nctaid.{axis}": f"bc(L->nctaid[{i}])" for i, axis in enumerate("xyz")},
    **{f"%clusterid.{axis}": f"bc(L->ctaid[{i}])" for i, axis in enumerate("xyz")},
    **{f"%nclusterid.{axis}": f"bc(L->nctaid[{i}])" for i, axis in enumerate("xyz")},
    **{f"%cluster_ctaid.{axis}": "bc(0)" for axis in "xyz"},
    **{f"%cluster_nctaid.{axis}": "bc(1)" for axis in "xyz"},
    "%cluster_ctarank": "bc(0)",
    "%cluster_nctarank": "bc(1)",
    "%laneid": "lanes_from(h)",
    "%warpid": "bc(w->index)",
    "%nwarpid": "bc(L->warps)",
    "%smid": "bc(0)",
    "%nsmid": "bc(1)",
    "%gridid": "bc(1)",
    "%lanemask_eq": "shl_b32(bc(1), lanes_from(h))",
    "%lanemask_lt": "(shl_b32(bc(1), lanes_from(h)) - 1u)",
    "%lanemask_le": "(shl_b32(bc(2), lanes_from(h)) - 1u)",
    "%lanemask_gt": "~(shl_b32(bc(2), lanes_from(h)) - 1u)",
    "%lanemask_ge": "~(shl_b32(bc(1), lanes_from(h)) - 1u)",
    "%envreg1": "bc((uint32_t)(L->workspace >> 32))",
    "%envreg2": "bc((uint32_t)L->workspace)",
    "%clock": "bc((uint32_t)w->issued)",
    "%clock_hi": "bc((uint32_t)(w->issued >> 32))",
    "%globaltimer_lo": "bc((uint32_t)w->issued)",
    "%globaltimer_hi": "bc((uint32_t)(w->issued >> 32))",
    "%dynamic_smem_size": "bc(L->dynamic_shared)",
    "%total_smem_size": "bc(L->total_shared)",
    "%aggr_smem_size": "bc(L->total_shared)",
}
_RESERVED_OFFSETS = {
    "%reserved_smem_offset_begin": 0,
    "%reserved_smem_offset_0": 0,
    "%reserved_smem_offset_1": RESERVED_BYTES // 2,
    "%reserved_smem_offset_end": RESERVED_BYTES,
}
_SPECIAL_64 = {"%clock64": "bc64(w->issued)", "%globaltimer": "bc64(w->issued)", "%gridid": "bc64(1)"}


def refuse(instr: Instr, why: str = "is not supported by the emulator") -> NoReturn:
    """Raises UnsupportedError naming the opcode and the source line."""
    raise UnsupportedError(f"the PTX instruction {instr.opcode} {why}", line=instr.where.line)


def _u32(value: int) -> str:
    return f"bc({value & 0xFFFFFFFF:#x}u)"


def _u64(value: int) -> str:
    return f"bc64({value & 0xFFFFFFFFFFFFFFFF:#x}ull)"


class AluEmitter:
    """Writes the body of one `for (h...)` loop over chunks of lanes.

    Registers become local variables: 32-bit ones `v<n>`, 64-bit ones `v<n>a` and `v<n>b` for the lower and upper
    lanes, predicates `v<n>` as a bit mask. `number` names a register, `slot` gives its place in the register file.
    """

    def __init__(
        self,
        lowered: Lowered,
        number: Callable[[Reg], int],
        slot: Callable[[Reg], int],
        param_offsets: Mapping[str, int],
    ) -> None:
        self._lowered = lowered
        self._number = number
        self._slot = slot
        self._params = param_offsets
        self.lines: list[str] = []
        self.known: set[str] = set()
        """Registers that have a local variable."""
        self.written: dict[str, Reg] = {}
        self._temporaries = 0
        self._guard: str | None = None

    # -- operands -------------------------------------------------------------------------------------------------

    def name(self, reg: Reg) -> str:
        """The local variable of a register, loaded on first use."""
        name = f"v{self._number(reg)}"
        if reg.name not in self.known:
            self.known.add(reg.name)
            slot = self._slot(reg)
            if reg.bits == 1:
                self.lines.append(f"K {name} = (P[{slot}] >> h) & KALL;")
            elif reg.bits == 32:
                self.lines.append(f"u {name} = get(R + {slot * 32} + h);")
            elif reg.bits == 64:
                self.lines.append(
                    f"U {name}a = get64(R + {slot * 32} + 2 * h), {name}b = get64(R + {slot * 32 + 0} + 2 * h + W);"
                )
            else:
                raise UnsupportedError("128-bit registers are not supported by the emulator")
        return name

    def b32(self, operand: Operand | None) -> str:
        """A 32-bit operand as a `u` expression."""
        if isinstance(operand, Reg):
            if operand.bits == 32:
                return self.name(operand)
            if operand.bits == 64:
                name = self.name(operand)
                return f"low_words({name}a, {name}b)"
        elif isinstance(operand, Imm):
            return _u32(operand.value)
        elif isinstance(operand, Special):
            if operand.name in _RESERVED_OFFSETS:
                return _u32(self._lowered.shared[RESERVED][0] + _RESERVED_OFFSETS[operand.name])
            if operand.name == "%reserved_smem_offset_cap":
                return _u32(RESERVED_BYTES)
            if operand.name not in _SPECIAL_32:
                raise UnsupportedError(f"the special register {operand.name} is not supported by the emulator")
            return _SPECIAL_32[operand.name]
        elif isinstance(operand, Sym):
            value = self._address(operand)
            return f"bc((uint32_t)({value}))"
        raise EmulatorError(f"the PTX has an operand of the wrong kind, {operand}, where 32 bits are needed")

    def b64(self, operand: Operand | None) -> tuple[str, str]:
        """A 64-bit operand as two `U` expressions."""
        if isinstance(operand, Reg):
            name = self.name(operand)
            if operand.bits == 64:
                return f"{name}a", f"{name}b"
            if operand.bits == 32:
                return f"zext0({name})", f"zext1({name})"
        elif isinstance(operand, Imm):
            return _u64(operand.value), _u64(operand.value)
        elif isinstance(operand, Special):
            if operand.name in _SPECIAL_64:
                return _SPECIAL_64[operand.name], _SPECIAL_64[operand.name]
            value = self.b32(operand)
            return f"zext0({value})", f"zext1({value})"
        elif isinstance(operand, Sym):
            value = self._address(operand)
            return f"bc64({value})", f"bc64({value})"
        raise EmulatorError(f"the PTX has an operand of the wrong kind, {operand}, where 64 bits are needed")

    def pred(self, operand: Operand | None) -> str:
        """A predicate as a `K` expression; `!p` comes as a Vec of (p, None)."""
        if isinstance(operand, Vec) and isinstance(operand.items[0], Reg):
            return f"(~{self.name(operand.items[0])} & KALL)"
        if isinstance(operand, Reg) and operand.bits == 1:
            return self.name(operand)
        if isinstance(operand, Imm):
            return "KALL" if operand.value else "0u"
        raise EmulatorError(f"the PTX has {operand} where a predicate is needed")

    def _address(self, symbol: Sym) -> str:
        """A variable's address as a uint64_t expression: an offset in its space, or a pointer for global memory."""
        lowered = self._lowered
        if symbol.name in lowered.shared:
            return f"{lowered.shared[symbol.name][0] + symbol.offset}ull"
        if symbol.name in lowered.local:
            return f"{lowered.local[symbol.name] + symbol.offset}ull"
        if symbol.name in lowered.globals:
            return f"(L->globals[{lowered.globals[symbol.name]}] + {symbol.offset}ull)"
        if symbol.name in lowered.functions:
            return f"{lowered.functions[symbol.name]:#x}ull"
        if symbol.name in self._params:
            return f"((uint64_t)L->params + {self._params[symbol.name] + symbol.offset}ull)"
        raise UnsupportedError(f"the address of {symbol.name} is not supported by the emulator")

    # -- results --------------------------------------------------------------------------------------------------

    def temporary(self, type_: str, expression: str) -> str:
        """A fresh variable holding `expression`."""
        self._temporaries += 1
        name = f"t{self._temporaries}"
        self.lines.append(f"{type_} {name} = {expression};")
        return name

    def _assign(self, reg: Reg, type_: str, suffixes: tuple[str, ...], expressions: tuple[str, ...]) -> None:
        select = {"u": "sel", "U": "sel64"}
        if self._guard is not None:
            name = self.name(reg)
            for part, (suffix, expression) in enumerate(zip(suffixes, expressions, strict=True)):
                guard = self._guard
                if type_ == "K":
                    self.lines.append(f"{name} = (({expression}) & {guard}) | ({name} & ~{guard});")
                    continue
                if type_ == "U":
                    guard = f"klow({guard})" if part == 0 else f"khigh({guard})"
                self.lines.append(f"{name}{suffix} = {select[type_]}({guard}, {expression}, {name}{suffix});")
        else:
            name = f"v{self._number(reg)}"
            declare = "" if reg.name in self.known else f"{type_} "
            if len(expressions) > 1 and not declare:
                # Both halves read the old value before either is written.
                expressions = tuple(self.temporary(type_, e) for e in expressions)
            for suffix, expression in zip(suffixes, expressions, strict=True):
                self.lines.append(f"{declare}{name}{suffix} = {expression};")
            self.known.add(reg.name)
        self.written[reg.name] = reg

    def set32(self, operand: Operand | None, expression: str, *, clean: bool = False) -> None:
        """Writes a 32-bit (or, truncated unless `clean`, a 16-bit) register."""
        if operand is None:
            return
        if not isinstance(operand, Reg):
            raise EmulatorError("the PTX has a destination that is no register")
        if operand.bits == 64:
            value = self.temporary("u", expression)
            self.set64(operand, (f"zext0({value})", f"zext1({value})"))
            return
        if TYPE_BYTES[operand.type] < 4 and not clean:
            expression = f"low{8 * TYPE_BYTES[operand.type]}({expression})"
        self._assign(operand, "u", ("",), (expression,))

    def set64(self, operand: Operand | None, expressions: tuple[str, str]) -> None:
        """Writes a 64-bit register; the low words if the register has 32 bits."""
        if operand is None:
            return
        if not isinstance(operand, Reg):
            raise EmulatorError("the PTX has a destination that is no register")
        if operand.bits == 32:
            self.set32(operand, f"low_words({expressions[0]}, {expressions[1]})")
            return
        self._assign(operand, "U", ("a", "b"), expressions)

    def setp(self, operand: Operand | None, expression: str) -> None:
        """Writes a predicate."""
        if operand is None:
            return
        if not isinstance(operand, Reg) or operand.bits != 1:
            raise EmulatorError("the PTX has a destination that is no predicate")
        self._assign(operand, "K", ("",), (expression,))

    # -- instructions ---------------------------------------------------------------------------------------------

    def begin(self, instr: Instr) -> None:
        """Takes the guard of the next instruction, which every write then obeys."""
        self._guard = None
        if instr.guard is not None:
            guard = self.name(instr.guard)
            self._guard = f"(~{guard} & KALL)" if instr.guard_negated else guard

    def load_param(self, instr: Instr) -> None:
        """`ld.param` of a kernel's parameter."""
        target, address = instr.operands
        assert isinstance(address, Mem)
        if isinstance(address.base, Reg):
            refuse(instr)
        if address.base is None or address.base.name not in self._params:
            refuse(instr)
        type_ = instr.mods[-1]
        size = TYPE_BYTES[type_]
        at = self._params[address.base.name] + address.base.offset + address.offset
        items = target.items if isinstance(target, Vec) else (target,)
        if not 0 <= at <= self._lowered.param_bytes - size * len(items):
            refuse(instr, f"reads byte {at} of {self._lowered.param_bytes} bytes of parameters")
        for i, item in enumerate(items):
            pointer = f"L->params + {at + i * size}"
            if size == 8:
                value = f"bc64(param64({pointer}))"
                self.set64(item, (value, value))
            elif size == 4:
                self.set32(item, f"bc(param32({pointer}))")
            else:
                kind = "int" if type_[0] == "s" else "uint"
                self.set32(item, f"bc((uint32_t)param_small<{kind}{8 * size}_t>({pointer}))")

    def each(self, function: str, target: Operand | None, *sources: Operand | None, bits: int) -> None:
        """`target = function(sources...)` in 32- or 64-bit lanes."""
        if bits == 64:
            parts = [self.b64(s) for s in sources]
            self.set64(
                target,
                (f"{function}({', '.join(p[0] for p in parts)})", f"{function}({', '.join(p[1] for p in parts)})"),
            )
        else:
            self.set32(target, f"{function}({', '.join(self.b32(s) for s in sources)})")

    def halves(self, type_: str, make: Callable[..., str], *sources: Operand | None) -> str:
        """A packed operation: `make(type, a, b, ...)` on the lower and the upper halves."""
        names = [self.temporary("u", self.b32(s)) for s in sources]
        lower = make(type_, *(f"lower({n})" for n in names))
        upper = make(type_, *(f"upper({n})" for n in names))
        return f"pair(low16({lower}), low16({upper}))"
