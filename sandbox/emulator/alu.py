"""C++ for instructions that compute lane by lane: one vector statement each (see runtime/alu_int.hpp and its kin)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn

from kernelwright.errors import EmulatorError, UnsupportedError
from kernelwright.sandbox.emulator.lower import CARRY, Lowered
from kernelwright.sandbox.emulator.ptx import TYPE_BYTES, Imm, Instr, Mem, Operand, Reg, Special, Sym, Vec

__all__ = ["AluEmitter", "is_alu", "refuse"]

_ROUNDINGS = ("rn", "rz", "rm", "rp")
_HALVES = ("f16", "bf16")
_PAIRS = {"f16x2": "f16", "bf16x2": "bf16"}
_SHARED_WINDOW = "KW_SHARED_WINDOW"
_LOCAL_WINDOW = "KW_LOCAL_WINDOW"

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
    "%clock": "bc((uint32_t)w->issued)",
    "%clock_hi": "bc((uint32_t)(w->issued >> 32))",
    "%globaltimer_lo": "bc((uint32_t)w->issued)",
    "%globaltimer_hi": "bc((uint32_t)(w->issued >> 32))",
    "%dynamic_smem_size": "bc(L->dynamic_shared)",
    "%total_smem_size": "bc(L->total_shared)",
    "%aggr_smem_size": "bc(L->total_shared)",
}
_SPECIAL_64 = {"%clock64": "bc64(w->issued)", "%globaltimer": "bc64(w->issued)", "%gridid": "bc64(1)"}

_INT_COMPARE = {"lo": "lt", "ls": "le", "hi": "gt", "hs": "ge"}
_PRMT_MODES = {"f4e": 1, "b4e": 2, "rc8": 3, "ecl": 4, "ecr": 5, "rc16": 6}


def refuse(instr: Instr, why: str = "is not supported by the emulator") -> NoReturn:
    """Raises UnsupportedError naming the opcode and the source line."""
    raise UnsupportedError(f"the PTX instruction {instr.opcode} {why}", line=instr.where.line)


def is_alu(instr: Instr) -> bool:
    """Whether `AluEmitter` takes the instruction."""
    return instr.op in _EMITTERS or (instr.op == "ld" and "param" in instr.mods)


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

    def emit(self, instr: Instr) -> None:
        """Appends the statements of one instruction.

        Raises:
            UnsupportedError: a form that is not known.
        """
        self._guard = None
        if instr.guard is not None:
            guard = self.name(instr.guard)
            self._guard = f"(~{guard} & KALL)" if instr.guard_negated else guard
        if instr.op == "ld":
            self._load_param(instr)
            return
        emitter = _EMITTERS.get(instr.op)
        if emitter is None:
            refuse(instr)
        try:
            emitter(self, instr)
        except (KeyError, ValueError, IndexError):
            refuse(instr, "has a form that is not supported by the emulator")
        except UnsupportedError as error:
            if error.line is None:
                error.line = instr.where.line
            raise

    def _load_param(self, instr: Instr) -> None:
        target, address = instr.operands
        assert isinstance(address, Mem)
        if isinstance(address.base, Reg):
            refuse(instr, "with an address in a register is not supported by the emulator")
        if address.base is None or address.base.name not in self._params:
            refuse(instr)
        type_ = instr.mods[-1]
        size = TYPE_BYTES[type_]
        at = self._params[address.base.name] + address.base.offset + address.offset
        items = target.items if isinstance(target, Vec) else (target,)
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


# -- one function per opcode ------------------------------------------------------------------------------------------


def _bits(type_: str) -> int:
    return 64 if TYPE_BYTES[type_] == 8 else 32


def _f32_operand(e: AluEmitter, operand: Operand | None, ftz: bool) -> str:
    value = e.b32(operand)
    return f"ftz({value})" if ftz else value


def _rounding(instr: Instr) -> str:
    found = [m for m in instr.mods if m in _ROUNDINGS]
    return found[0].upper() if found else "RN"


def _float_op(e: AluEmitter, instr: Instr, name: str) -> None:
    """add, sub, mul, fma and div of f32 and f64, with rounding, .ftz and .sat."""
    type_ = instr.mods[-1]
    target, *sources = instr.operands
    function = f"{name}_{type_}<{_rounding(instr)}>"
    sat = "sat" in instr.mods
    if type_ == "f64":
        parts = [e.b64(s) for s in sources]
        results = [f"{function}({', '.join(p[i] for p in parts)})" for i in range(2)]
        e.set64(target, (results[0], results[1]))
        return
    ftz = "ftz" in instr.mods
    value = f"{function}({', '.join(_f32_operand(e, s, ftz) for s in sources)})"
    if ftz:
        value = f"ftz({value})"
    e.set32(target, f"sat_f32({value})" if sat else value)


def _half_op(e: AluEmitter, instr: Instr, name: str) -> None:
    """Arithmetic of f16, bf16 and their packed forms."""
    type_ = instr.mods[-1]
    target, *sources = instr.operands
    ftz, sat, relu = ("ftz" in instr.mods), ("sat" in instr.mods), ("relu" in instr.mods)

    def make(element: str, *values: str) -> str:
        if ftz:
            values = tuple(f"ftz_{element}({v})" for v in values)
        value = f"{name}_{element}({', '.join(values)})"
        if ftz:
            value = f"ftz_{element}({value})"
        if sat:
            value = f"sat_{element}({value})"
        return f"relu_{element}({value})" if relu else value

    if type_ in _PAIRS:
        e.set32(target, e.halves(_PAIRS[type_], make, *sources))
    else:
        e.set32(target, make(type_, *(e.b32(s) for s in sources)))


def _is_half(type_: str) -> bool:
    return type_ in _HALVES or type_ in _PAIRS


def _arith(name: str) -> Callable[[AluEmitter, Instr], None]:
    """add, sub: integers of all widths, floats, packed 16-bit integers, carries."""

    def emit(e: AluEmitter, instr: Instr) -> None:
        type_ = instr.mods[-1]
        target, a, b = instr.operands
        if _is_half(type_):
            _half_op(e, instr, name)
        elif type_ in ("f32", "f64"):
            _float_op(e, instr, name)
        elif type_ in ("u16x2", "s16x2"):
            e.set32(target, e.halves("b32", lambda t, x, y: f"{name}_{t}({x}, {y})", a, b))
        elif "cc" in instr.mods:
            _carry(e, instr, name)
        elif "sat" in instr.mods:
            e.each(f"{name}_sat_s32", target, a, b, bits=32)
        else:
            e.each(f"{name}_b{_bits(type_)}", target, a, b, bits=_bits(type_))

    return emit


def _carry(e: AluEmitter, instr: Instr, name: str) -> None:
    """add.cc, addc, sub.cc, subc."""
    target, a, b = instr.operands
    base = "add" if name.startswith("add") else "sub"
    incoming = e.pred(CARRY) if name in ("addc", "subc") else "0u"
    out = e.temporary("K", "0")
    if _bits(instr.mods[-1]) == 64:
        (a0, a1), (b0, b1) = e.b64(a), e.b64(b)
        high = e.temporary("K", "0")
        carry = e.temporary("K", incoming)
        first = e.temporary("U", f"{base}_with64({a0}, {b0}, klow({carry}), &{out})")
        second = e.temporary("U", f"{base}_with64({a1}, {b1}, khigh({carry}), &{high})")
        e.set64(target, (first, second))
        out = f"kjoin({out}, {high})"
    else:
        value = e.temporary("u", f"{base}_with({e.b32(a)}, {e.b32(b)}, {incoming}, &{out})")
        e.set32(target, value)
    if "cc" in instr.mods:
        e.setp(CARRY, out)


def _addc(e: AluEmitter, instr: Instr) -> None:
    _carry(e, instr, instr.op)


def _mul(e: AluEmitter, instr: Instr) -> None:
    type_ = instr.mods[-1]
    target, a, b = instr.operands
    if _is_half(type_):
        _half_op(e, instr, "mul")
    elif type_ in ("f32", "f64"):
        _float_op(e, instr, "mul")
    elif "wide" in instr.mods:
        _set_wide(e, target, type_, _wide_product(e, type_, a, b))
    elif TYPE_BYTES[type_] == 2:
        e.set32(target, _product16(e, instr, a, b))
    elif "hi" in instr.mods:
        e.each(f"mul_hi_{type_}", target, a, b, bits=_bits(type_))
    elif "lo" in instr.mods:
        e.each(f"mul_lo_b{_bits(type_)}", target, a, b, bits=_bits(type_))
    else:
        refuse(instr)


def _extend16(e: AluEmitter, type_: str, operand: Operand | None) -> str:
    return f"{'sext16' if type_[0] == 's' else 'low16'}({e.b32(operand)})"


def _product16(e: AluEmitter, instr: Instr, a: Operand | None, b: Operand | None) -> str:
    type_ = instr.mods[-1]
    product = f"mul_lo_b32({_extend16(e, type_, a)}, {_extend16(e, type_, b)})"
    return f"({product} >> 16)" if "hi" in instr.mods else product


def _wide_product(e: AluEmitter, type_: str, a: Operand | None, b: Operand | None) -> tuple[str, str]:
    """A product of twice the width: for 16 bits a `u` twice, for 32 bits the two halves."""
    if TYPE_BYTES[type_] == 2:
        value = f"mul_lo_b32({_extend16(e, type_, a)}, {_extend16(e, type_, b)})"
        return value, value
    x, y = e.b32(a), e.b32(b)
    extend, sign = ("sext", "s") if type_[0] == "s" else ("zext", "u")
    return (
        f"mul_wide_{sign}({extend}0({x}), {extend}0({y}))",
        f"mul_wide_{sign}({extend}1({x}), {extend}1({y}))",
    )


def _set_wide(e: AluEmitter, target: Operand | None, type_: str, value: tuple[str, str]) -> None:
    if TYPE_BYTES[type_] == 2:
        e.set32(target, value[0])
    else:
        e.set64(target, value)


def _mad(e: AluEmitter, instr: Instr) -> None:
    type_ = instr.mods[-1]
    target, a, b, c = instr.operands
    if instr.op == "fma" or type_ in ("f32", "f64"):
        if _is_half(type_):
            _half_op(e, instr, "fma")
        else:
            _float_op(e, instr, "fma")
    elif instr.op == "madc" or "cc" in instr.mods:
        function = f"mul_hi_{type_}" if "hi" in instr.mods else f"mul_lo_b{_bits(type_)}"
        out = e.temporary("K", "0")
        incoming = e.pred(CARRY) if instr.op == "madc" else "0u"
        if _bits(type_) == 64:
            (a0, a1), (b0, b1), (c0, c1) = e.b64(a), e.b64(b), e.b64(c)
            high = e.temporary("K", "0")
            carry = e.temporary("K", incoming)
            first = e.temporary("U", f"add_with64({function}({a0}, {b0}), {c0}, klow({carry}), &{out})")
            second = e.temporary("U", f"add_with64({function}({a1}, {b1}), {c1}, khigh({carry}), &{high})")
            e.set64(target, (first, second))
            out = f"kjoin({out}, {high})"
        else:
            product = f"{function}({e.b32(a)}, {e.b32(b)})"
            e.set32(target, e.temporary("u", f"add_with({product}, {e.b32(c)}, {incoming}, &{out})"))
        if "cc" in instr.mods:
            e.setp(CARRY, out)
    elif "wide" in instr.mods:
        low, high = _wide_product(e, type_, a, b)
        if TYPE_BYTES[type_] == 2:
            e.set32(target, f"add_b32({low}, {e.b32(c)})")
        else:
            c0, c1 = e.b64(c)
            e.set64(target, (f"add_b64({low}, {c0})", f"add_b64({high}, {c1})"))
    elif TYPE_BYTES[type_] == 2:
        e.set32(target, f"add_b32({_product16(e, instr, a, b)}, {e.b32(c)})")
    elif "sat" in instr.mods:
        e.each("mad_hi_sat_s32", target, a, b, c, bits=32)
    else:
        bits = _bits(type_)
        function = f"mul_hi_{type_}" if "hi" in instr.mods else f"mul_lo_b{bits}"
        if bits == 64:
            (a0, a1), (b0, b1), (c0, c1) = e.b64(a), e.b64(b), e.b64(c)
            e.set64(target, (f"add_b64({function}({a0}, {b0}), {c0})", f"add_b64({function}({a1}, {b1}), {c1})"))
        else:
            e.set32(target, f"add_b32({function}({e.b32(a)}, {e.b32(b)}), {e.b32(c)})")


def _mul24(e: AluEmitter, instr: Instr) -> None:
    target, a, b, *c = instr.operands
    which = "hi" if "hi" in instr.mods else "lo"
    product = f"mul24_{which}_{instr.mods[-1]}({e.b32(a)}, {e.b32(b)})"
    e.set32(target, f"add_b32({product}, {e.b32(c[0])})" if c else product)


def _div(e: AluEmitter, instr: Instr) -> None:
    type_ = instr.mods[-1]
    target, a, b = instr.operands
    if type_ in ("f32", "f64"):
        _float_op(e, instr, "div")
    elif TYPE_BYTES[type_] == 2:
        x, y = _extend16(e, type_, a), _extend16(e, type_, b)
        e.set32(target, f"{instr.op}_{type_[0]}32({x}, {y})")
    else:
        e.each(f"{instr.op}_{type_}", target, a, b, bits=_bits(type_))


def _minmax(e: AluEmitter, instr: Instr) -> None:
    type_ = instr.mods[-1]
    target, *sources = instr.operands
    nan, ftz = "NaN" in instr.mods, "ftz" in instr.mods
    xorsign = "xorsign" in instr.mods

    def make(element: str, *values: str) -> str:
        values = tuple(e.temporary("u", f"{_ftz_name(element)}({v})" if ftz else v) for v in values)
        signs = values
        if xorsign:
            values = tuple(e.temporary("u", f"abs_{element}({v})") for v in values)
        result = values[0]
        for value in values[1:]:
            before = result
            result = e.temporary("u", f"{instr.op}_{element}({before}, {value})")
            if nan:
                result = e.temporary("u", f"nan_{element}({before}, {value}, {result})")
        if xorsign:
            top = "0x80000000u" if element == "f32" else "0x8000u"
            result = e.temporary("u", f"{result} | (({signs[0]} ^ {signs[1]}) & {top})")
        return f"relu_{element}({result})" if "relu" in instr.mods else result

    if type_ in _PAIRS:
        e.set32(target, e.halves(_PAIRS[type_], make, *sources))
    elif type_ in _HALVES or type_ == "f32":
        e.set32(target, make(type_, *(e.b32(s) for s in sources)))
    elif type_ == "f64":
        e.each(f"{instr.op}_f64", target, *sources, bits=64)
    elif type_ in ("u16x2", "s16x2"):
        extend = "sext16" if type_[0] == "s" else "low16"
        kind = f"{type_[0]}32"
        e.set32(target, e.halves(kind, lambda t, x, y: f"{instr.op}_{t}({extend}({x}), {extend}({y}))", *sources))
    elif TYPE_BYTES[type_] == 2:
        x, y = (_extend16(e, type_, s) for s in sources)
        value = f"{instr.op}_{type_[0]}32({x}, {y})"
        e.set32(target, value)
    else:
        e.each(f"{instr.op}_{type_}", target, *sources, bits=_bits(type_))
        if "relu" in instr.mods:
            e.each("max_s32", target, target, Imm(0), bits=32)


def _ftz_name(element: str) -> str:
    return "ftz" if element == "f32" else f"ftz_{element}"


def _negabs(e: AluEmitter, instr: Instr) -> None:
    type_ = instr.mods[-1]
    target, a = instr.operands
    if type_ in _PAIRS:
        e.set32(target, e.halves(_PAIRS[type_], lambda t, x: f"{instr.op}_{t}({x})", a))
    elif type_ in _HALVES:
        e.set32(target, f"{instr.op}_{type_}({e.b32(a)})")
    elif type_ == "f32":
        e.set32(target, f"{instr.op}_f32({_f32_operand(e, a, 'ftz' in instr.mods)})")
    elif type_ == "f64":
        e.each(f"{instr.op}_f64", target, a, bits=64)
    elif TYPE_BYTES[type_] == 2:
        e.set32(target, f"{instr.op}_{'b32' if instr.op == 'neg' else 's32'}(sext16({e.b32(a)}))")
    else:
        kind = f"b{_bits(type_)}" if instr.op == "neg" else f"s{_bits(type_)}"
        e.each(f"{instr.op}_{kind}", target, a, bits=_bits(type_))


def _logic(e: AluEmitter, instr: Instr) -> None:
    type_ = instr.mods[-1]
    target, *sources = instr.operands
    if type_ == "pred":
        values = [e.pred(s) for s in sources]
        operators = {"and": "&", "or": "|", "xor": "^"}
        if instr.op == "not":
            e.setp(target, f"~{values[0]} & KALL")
        else:
            e.setp(target, f"{values[0]} {operators[instr.op]} {values[1]}")
    else:
        e.each(f"{instr.op}_b{_bits(type_)}", target, *sources, bits=_bits(type_))


def _shift(e: AluEmitter, instr: Instr) -> None:
    type_ = instr.mods[-1]
    target, a, count = instr.operands
    kind = "b" if instr.op == "shl" else "s" if type_[0] == "s" else "u"
    if TYPE_BYTES[type_] == 8:
        (a0, a1), n = e.b64(a), e.b32(count)
        function = f"{instr.op}_{kind}64"
        e.set64(target, (f"{function}({a0}, zext0({n}))", f"{function}({a1}, zext1({n}))"))
    elif TYPE_BYTES[type_] == 2:
        value = _extend16(e, type_, a) if instr.op == "shr" else e.b32(a)
        e.set32(target, f"{instr.op}_{kind}32({value}, {e.b32(count)})")
    else:
        e.each(f"{instr.op}_{kind}32", target, a, count, bits=32)


def _lop3(e: AluEmitter, instr: Instr) -> None:
    if instr.mods != ("b32",):
        refuse(instr)
    target, a, b, c, table = instr.operands
    assert isinstance(table, Imm)
    e.set32(target, f"lop3_b32<{table.value & 255}>({e.b32(a)}, {e.b32(b)}, {e.b32(c)})")


def _compare(e: AluEmitter, how: str, type_: str, a: Operand | None, b: Operand | None, ftz: bool) -> str:
    """A comparison as a `K` expression (not for packed types)."""
    if type_ == "f32":
        return f"cmp_{how}_f32({_f32_operand(e, a, ftz)}, {_f32_operand(e, b, ftz)})"
    if type_ in _HALVES:
        return f"cmp_{how}_f32(f32_from_{type_}({e.b32(a)}), f32_from_{type_}({e.b32(b)}))"
    how = _INT_COMPARE.get(how, how) if type_ not in ("f64",) else how
    if TYPE_BYTES[type_] == 8:
        kind = {"b": "u64", "u": "u64", "s": "s64", "f": "f64"}[type_[0]]
        (a0, a1), (b0, b1) = e.b64(a), e.b64(b)
        return f"kjoin(cmp_{how}_{kind}({a0}, {b0}), cmp_{how}_{kind}({a1}, {b1}))"
    if TYPE_BYTES[type_] == 2:
        return f"cmp_{how}_{'s' if type_[0] == 's' else 'u'}32({_extend16(e, type_, a)}, {_extend16(e, type_, b)})"
    return f"cmp_{how}_{'s' if type_[0] == 's' else 'u'}32({e.b32(a)}, {e.b32(b)})"


def _packed_compare(e: AluEmitter, how: str, type_: str, a: Operand | None, b: Operand | None) -> tuple[str, str]:
    element = _PAIRS[type_]
    x, y = e.temporary("u", e.b32(a)), e.temporary("u", e.b32(b))
    low, high = (
        f"cmp_{how}_f32(f32_from_{element}({part}({x})), f32_from_{element}({part}({y})))"
        for part in ("lower", "upper")
    )
    return low, high


def _combine(value: str, mods: tuple[str, ...], other: str | None) -> str:
    if other is None:
        return value
    operator = {"and": "&", "or": "|", "xor": "^"}[mods[1]]
    return f"(({value}) {operator} {other})"


def _setp(e: AluEmitter, instr: Instr) -> None:
    target, a, b, *c = instr.operands
    type_ = instr.mods[-1]
    other = e.pred(c[0]) if c else None
    first, second = target.items if isinstance(target, Vec) else (target, None)
    if type_ in _PAIRS:
        low, high = (e.temporary("K", v) for v in _packed_compare(e, instr.mods[0], type_, a, b))
        e.setp(first, _combine(low, instr.mods, other))
        e.setp(second, _combine(high, instr.mods, other))
        return
    value = _compare(e, instr.mods[0], type_, a, b, "ftz" in instr.mods)
    if second is not None:
        value = e.temporary("K", value)
        other = e.temporary("K", other) if other is not None else None
        e.setp(second, _combine(f"~{value} & KALL", instr.mods, other))
    e.setp(first, _combine(value, instr.mods, other))


_ONES = {"f32": "0x3f800000u", "f16": "0x3c00u", "bf16": "0x3f80u"}


def _set(e: AluEmitter, instr: Instr) -> None:
    target, a, b, *c = instr.operands
    type_, source = instr.mods[-2], instr.mods[-1]
    other = e.pred(c[0]) if c else None
    if source in _PAIRS:
        one = _ONES[_PAIRS[type_]] if type_ in _PAIRS else "0xffffu"
        low, high = _packed_compare(e, instr.mods[0], source, a, b)
        parts = [f"sel({_combine(k, instr.mods, other)}, bc({one}), bc(0))" for k in (low, high)]
        e.set32(target, f"pair({parts[0]}, {parts[1]})")
        return
    value = _combine(_compare(e, instr.mods[0], source, a, b, "ftz" in instr.mods), instr.mods, other)
    e.set32(target, f"sel({value}, bc({_ONES.get(type_, '0xffffffffu')}), bc(0))")


def _selp(e: AluEmitter, instr: Instr) -> None:
    target, a, b, p = instr.operands
    condition = e.pred(p)
    if _bits(instr.mods[-1]) == 64:
        (a0, a1), (b0, b1) = e.b64(a), e.b64(b)
        e.set64(target, (f"sel64(klow({condition}), {a0}, {b0})", f"sel64(khigh({condition}), {a1}, {b1})"))
    else:
        e.set32(target, f"sel({condition}, {e.b32(a)}, {e.b32(b)})")


def _slct(e: AluEmitter, instr: Instr) -> None:
    target, a, b, c = instr.operands
    zero = Imm(0)
    condition = e.temporary("K", _compare(e, "ge", instr.mods[-1], c, zero, "ftz" in instr.mods))
    if _bits(instr.mods[-2]) == 64:
        (a0, a1), (b0, b1) = e.b64(a), e.b64(b)
        e.set64(target, (f"sel64(klow({condition}), {a0}, {b0})", f"sel64(khigh({condition}), {a1}, {b1})"))
    else:
        e.set32(target, f"sel({condition}, {e.b32(a)}, {e.b32(b)})")


def _testp(e: AluEmitter, instr: Instr) -> None:
    target, a = instr.operands
    how, type_ = instr.mods
    if type_ == "f64":
        a0, a1 = e.b64(a)
        e.setp(target, f"kjoin(testp_{how}_f64({a0}), testp_{how}_f64({a1}))")
    else:
        e.setp(target, f"testp_{how}_f32({e.b32(a)})")


def _mov(e: AluEmitter, instr: Instr) -> None:
    target, value = instr.operands
    type_ = instr.mods[-1]
    if type_ == "pred":
        e.setp(target, e.pred(value))
    elif isinstance(target, Vec):
        _unpack(e, instr, target, value)
    elif isinstance(value, Vec):
        _pack(e, instr, target, value)
    elif type_ == "b128" or (isinstance(target, Reg) and target.bits == 128):
        refuse(instr)
    elif isinstance(target, Reg) and target.bits == 64:
        e.set64(target, e.b64(value))
    else:
        e.set32(target, e.b32(value), clean=isinstance(value, Reg) and value.bits == 32 and TYPE_BYTES[value.type] == 2)


def _unpack(e: AluEmitter, instr: Instr, target: Vec, value: Operand | None) -> None:
    size = TYPE_BYTES[instr.mods[-1]]
    part = 8 * size // len(target.items)
    if size == 8:
        a, b = e.b64(value)
        words = [e.temporary("u", f"low_words({a}, {b})"), e.temporary("u", f"high_words({a}, {b})")]
    elif size == 4:
        words = [e.temporary("u", e.b32(value))]
    else:
        refuse(instr)
    for i, item in enumerate(target.items):
        if part == 32:
            e.set32(item, words[i])
        elif part == 16:
            e.set32(item, f"{'upper' if i & 1 else 'lower'}({words[i // 2]})", clean=True)
        elif part == 8:
            e.set32(item, f"low8({words[i // 4]} >> {8 * (i % 4)})", clean=True)
        else:
            refuse(instr)


def _pack(e: AluEmitter, instr: Instr, target: Operand | None, value: Vec) -> None:
    size = TYPE_BYTES[instr.mods[-1]]
    part = 8 * size // len(value.items)
    values = [e.b32(item) for item in value.items]
    if part == 16:
        values = [f"pair(low16({values[i]}), low16({values[i + 1]}))" for i in range(0, len(values), 2)]
    elif part == 8:
        values = [
            f"(low8({a}) | low8({b}) << 8 | low8({c}) << 16 | low8({d}) << 24)"
            for a, b, c, d in (values[i : i + 4] for i in range(0, len(values), 4))
        ]
    elif part != 32:
        refuse(instr)
    if size == 8:
        low, high = (e.temporary("u", v) for v in values)
        e.set64(target, (f"pack0({low}, {high})", f"pack1({low}, {high})"))
    else:
        e.set32(target, values[0])


def _cvta(e: AluEmitter, instr: Instr) -> None:
    target, a = instr.operands
    space = next((m for m in instr.mods if m in ("shared", "local", "global", "const", "param")), "")
    if any("shared::" in m for m in instr.mods):
        space = "shared"
    bits = _bits(instr.mods[-1])
    window = {"shared": _SHARED_WINDOW, "local": _LOCAL_WINDOW}.get(space)
    if window is None:
        if bits == 64:
            e.set64(target, e.b64(a))
        else:
            e.set32(target, e.b32(a))
        return
    a0, a1 = e.b64(a)
    if "to" in instr.mods:
        e.set64(target, (f"({a0} & ~KW_WINDOW_MASK)", f"({a1} & ~KW_WINDOW_MASK)"))
    else:
        e.set64(target, (f"({a0} | {window})", f"({a1} | {window})"))


def _isspacep(e: AluEmitter, instr: Instr) -> None:
    target, a = instr.operands
    a0, a1 = e.b64(a)
    space = instr.mods[0]
    window = _SHARED_WINDOW if space.startswith("shared") else _LOCAL_WINDOW if space == "local" else "0ull"
    parts = [f"cmp_eq_u64({part} & KW_WINDOW_MASK, bc64({window}))" for part in (a0, a1)]
    e.setp(target, f"kjoin({parts[0]}, {parts[1]})" if space != "const" else "0u")


def _math(e: AluEmitter, instr: Instr) -> None:
    """ex2, lg2, sin, cos, tanh, rcp, sqrt, rsqrt."""
    target, a = instr.operands
    type_ = instr.mods[-1]
    if _is_half(type_):
        _half_op(e, instr, instr.op)
        return
    rounding = next((m for m in instr.mods if m in _ROUNDINGS), None)
    if type_ == "f64":
        if instr.op == "sqrt":
            e.each(f"sqrt_f64<{_rounding(instr)}>", target, a, bits=64)
        elif instr.op == "rcp" and rounding not in (None, "rn"):
            e.each(f"div_f64<{_rounding(instr)}>", target, Imm(0x3FF0000000000000), a, bits=64)
        else:
            e.each(f"{instr.op}_f64", target, a, bits=64)
        return
    ftz = "ftz" in instr.mods
    x = _f32_operand(e, a, ftz)
    if instr.op == "sqrt":
        value = f"sqrt_f32<{_rounding(instr)}>({x})"
    elif instr.op == "rcp" and rounding not in (None, "rn"):
        value = f"div_f32<{_rounding(instr)}>(bc(0x3f800000u), {x})"
    else:
        value = f"{instr.op}_f32({x})"
    e.set32(target, f"ftz({value})" if ftz else value)


def _copysign(e: AluEmitter, instr: Instr) -> None:
    e.each(f"copysign_{instr.mods[-1]}", *instr.operands, bits=_bits(instr.mods[-1]))


def _bit_count(e: AluEmitter, instr: Instr) -> None:
    """popc, clz, bfind: 32-bit results."""
    target, a = instr.operands
    type_ = instr.mods[-1]
    name = "_".join((instr.op, *instr.mods))
    if TYPE_BYTES[type_] == 8:
        a0, a1 = e.b64(a)
        e.set32(target, f"low_words({name}({a0}), {name}({a1}))")
    else:
        e.each(name, target, a, bits=32)


def _brev(e: AluEmitter, instr: Instr) -> None:
    e.each(f"brev_{instr.mods[-1]}", *instr.operands, bits=_bits(instr.mods[-1]))


def _bit_field(e: AluEmitter, instr: Instr) -> None:
    type_ = instr.mods[-1]
    target, *sources = instr.operands
    if TYPE_BYTES[type_] == 4:
        e.each(f"{instr.op}_{type_}", target, *sources, bits=32)
        return
    wide = [e.b64(s) for s in sources[:-2]]
    counts = [e.b32(s) for s in sources[-2:]]
    results = []
    for i in range(2):
        values = [w[i] for w in wide] + [f"zext{i}({c})" for c in counts]
        results.append(f"{instr.op}_{type_}({', '.join(values)})")
    e.set64(target, (results[0], results[1]))


def _simple32(name: Callable[[Instr], str]) -> Callable[[AluEmitter, Instr], None]:
    def emit(e: AluEmitter, instr: Instr) -> None:
        e.each(name(instr), *instr.operands, bits=32)

    return emit


def _sad(e: AluEmitter, instr: Instr) -> None:
    type_ = instr.mods[-1]
    if TYPE_BYTES[type_] == 2:
        target, a, b, c = instr.operands
        e.set32(target, f"sad_{type_[0]}32({_extend16(e, type_, a)}, {_extend16(e, type_, b)}, {e.b32(c)})")
    else:
        e.each(f"sad_{type_}", *instr.operands, bits=_bits(type_))


def _signed(mod: str) -> str:
    return "true" if mod[0] == "s" else "false"


def _szext(e: AluEmitter, instr: Instr) -> None:
    if "wrap" in instr.mods:
        refuse(instr)
    target, a, n = instr.operands
    e.set32(target, f"szext_clamp({e.b32(a)}, {e.b32(n)}, {_signed(instr.mods[-1])})")


def _prmt(e: AluEmitter, instr: Instr) -> None:
    mode = _PRMT_MODES[instr.mods[-1]] if instr.mods[-1] != "b32" else 0
    e.each(f"prmt_b32<{mode}>", *instr.operands, bits=32)


def _activemask(e: AluEmitter, instr: Instr) -> None:
    e.set32(instr.operands[0], "bc(M)")


def _nothing(e: AluEmitter, instr: Instr) -> None:
    """Instructions without an effect that a program could see here (ordering, caching, waiting)."""


def _cvt(e: AluEmitter, instr: Instr) -> None:
    from kernelwright.sandbox.emulator.convert import emit_cvt

    emit_cvt(e, instr)


_EMITTERS: dict[str, Callable[[AluEmitter, Instr], None]] = {
    "add": _arith("add"),
    "sub": _arith("sub"),
    "addc": _addc,
    "subc": _addc,
    "mul": _mul,
    "mad": _mad,
    "madc": _mad,
    "fma": _mad,
    "mul24": _mul24,
    "mad24": _mul24,
    "div": _div,
    "rem": _div,
    "min": _minmax,
    "max": _minmax,
    "neg": _negabs,
    "abs": _negabs,
    "and": _logic,
    "or": _logic,
    "xor": _logic,
    "not": _logic,
    "cnot": _logic,
    "shl": _shift,
    "shr": _shift,
    "lop3": _lop3,
    "setp": _setp,
    "set": _set,
    "selp": _selp,
    "slct": _slct,
    "testp": _testp,
    "mov": _mov,
    "cvt": _cvt,
    "cvta": _cvta,
    "isspacep": _isspacep,
    "ex2": _math,
    "lg2": _math,
    "sin": _math,
    "cos": _math,
    "tanh": _math,
    "rcp": _math,
    "sqrt": _math,
    "rsqrt": _math,
    "copysign": _copysign,
    "popc": _bit_count,
    "clz": _bit_count,
    "bfind": _bit_count,
    "brev": _brev,
    "bfe": _bit_field,
    "bfi": _bit_field,
    "fns": _simple32(lambda i: "fns_b32"),
    "bmsk": _simple32(lambda i: f"bmsk_{i.mods[0]}"),
    "szext": _szext,
    "sad": _sad,
    "prmt": _prmt,
    "shf": _simple32(lambda i: f"shf_{i.mods[0]}_{i.mods[1]}"),
    "dp4a": _simple32(lambda i: f"dp4a<{_signed(i.mods[0])}, {_signed(i.mods[1])}>"),
    "dp2a": _simple32(
        lambda i: f"dp2a<{_signed(i.mods[1])}, {_signed(i.mods[2])}, {'true' if i.mods[0] == 'hi' else 'false'}>"
    ),
    "activemask": _activemask,
    "membar": _nothing,
    "fence": _nothing,
    "nanosleep": _nothing,
    "prefetch": _nothing,
    "prefetchu": _nothing,
    "discard": _nothing,
    "applypriority": _nothing,
    "pmevent": _nothing,
    "griddepcontrol": _nothing,
}
