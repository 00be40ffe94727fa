"""C++ for arithmetic: add, sub, mul, mad, fma, div, min, max, the functions of the special function unit."""

from __future__ import annotations

from collections.abc import Callable

from kernelwright.sandbox.emulator.alu import AluEmitter, refuse
from kernelwright.sandbox.emulator.forms import (
    HALVES,
    PAIRS,
    ROUNDINGS,
    extend16,
    f32_operand,
    float_op,
    ftz_name,
    half_op,
    is_half,
    lane_bits,
    rounding_mode,
)
from kernelwright.sandbox.emulator.lower import CARRY
from kernelwright.sandbox.emulator.ptx import TYPE_BYTES, Imm, Instr, Operand

__all__ = [
    "absolute_difference",
    "add_with_carry",
    "arithmetic",
    "copy_sign",
    "divide",
    "extreme",
    "math_function",
    "multiply",
    "multiply_24",
    "multiply_add",
    "sign",
]


def arithmetic(name: str) -> Callable[[AluEmitter, Instr], None]:
    """add, sub: integers of all widths, floats, packed 16-bit integers, carries."""

    def emit(e: AluEmitter, instr: Instr) -> None:
        type_ = instr.mods[-1]
        target, a, b = instr.operands
        if is_half(type_):
            half_op(e, instr, name)
        elif type_ in ("f32", "f64"):
            float_op(e, instr, name)
        elif type_ in ("u16x2", "s16x2"):
            e.set32(target, e.halves("b32", lambda t, x, y: f"{name}_{t}({x}, {y})", a, b))
        elif "cc" in instr.mods:
            add_with_carry(e, instr)
        elif "sat" in instr.mods:
            e.each(f"{name}_sat_s32", target, a, b, bits=32)
        else:
            e.each(f"{name}_b{lane_bits(type_)}", target, a, b, bits=lane_bits(type_))

    return emit


def _carry(e: AluEmitter, instr: Instr, base: str, pairs: list[tuple[str, str]]) -> None:
    """Sets the target to `base` (add, sub) of two values, with a carry out (.cc) and in (addc, subc, madc).

    Args:
        pairs: the two values: once for 32 bits, for each half of the lanes for 64 bits.
    """
    target = instr.operands[0]
    incoming = e.pred(CARRY) if instr.op in ("addc", "subc", "madc") else "0u"
    out = e.temporary("K", "0")
    if len(pairs) == 2:
        (a0, b0), (a1, b1) = pairs
        high = e.temporary("K", "0")
        carry = e.temporary("K", incoming)
        first = e.temporary("U", f"{base}_with64({a0}, {b0}, klow({carry}), &{out})")
        second = e.temporary("U", f"{base}_with64({a1}, {b1}, khigh({carry}), &{high})")
        e.set64(target, (first, second))
        out = f"kjoin({out}, {high})"
    else:
        e.set32(target, e.temporary("u", f"{base}_with({pairs[0][0]}, {pairs[0][1]}, {incoming}, &{out})"))
    if "cc" in instr.mods:
        e.setp(CARRY, out)


def _lanes_of(e: AluEmitter, type_: str, operand: Operand | None) -> tuple[str, ...]:
    """An operand once for 32 bits, by halves of the lanes for 64 bits."""
    return e.b64(operand) if lane_bits(type_) == 64 else (e.b32(operand),)


def add_with_carry(e: AluEmitter, instr: Instr) -> None:
    """add.cc, addc, sub.cc, subc."""
    _, a, b = instr.operands
    type_ = instr.mods[-1]
    _carry(e, instr, instr.op.removesuffix("c"), list(zip(_lanes_of(e, type_, a), _lanes_of(e, type_, b), strict=True)))


def multiply(e: AluEmitter, instr: Instr) -> None:
    type_ = instr.mods[-1]
    target, a, b = instr.operands
    if is_half(type_):
        half_op(e, instr, "mul")
    elif type_ in ("f32", "f64"):
        float_op(e, instr, "mul")
    elif "wide" in instr.mods:
        _set_wide(e, target, type_, _wide_product(e, type_, a, b))
    elif TYPE_BYTES[type_] == 2:
        e.set32(target, _product16(e, instr, a, b))
    elif "hi" in instr.mods:
        e.each(f"mul_hi_{type_}", target, a, b, bits=lane_bits(type_))
    elif "lo" in instr.mods:
        e.each(f"mul_lo_b{lane_bits(type_)}", target, a, b, bits=lane_bits(type_))
    else:
        refuse(instr)


def _product16(e: AluEmitter, instr: Instr, a: Operand | None, b: Operand | None) -> str:
    type_ = instr.mods[-1]
    product = f"mul_lo_b32({extend16(e, type_, a)}, {extend16(e, type_, b)})"
    return f"({product} >> 16)" if "hi" in instr.mods else product


def _wide_product(e: AluEmitter, type_: str, a: Operand | None, b: Operand | None) -> tuple[str, str]:
    """A product of twice the width: for 16 bits a `u` twice, for 32 bits the two halves."""
    if TYPE_BYTES[type_] == 2:
        value = f"mul_lo_b32({extend16(e, type_, a)}, {extend16(e, type_, b)})"
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


def multiply_add(e: AluEmitter, instr: Instr) -> None:
    type_ = instr.mods[-1]
    target, a, b, c = instr.operands
    if instr.op == "fma" or type_ in ("f32", "f64"):
        if is_half(type_):
            half_op(e, instr, "fma")
        else:
            float_op(e, instr, "fma")
    elif instr.op == "madc" or "cc" in instr.mods:
        function = f"mul_hi_{type_}" if "hi" in instr.mods else f"mul_lo_b{lane_bits(type_)}"
        parts = zip(*(_lanes_of(e, type_, operand) for operand in (a, b, c)), strict=True)
        _carry(e, instr, "add", [(f"{function}({x}, {y})", z) for x, y, z in parts])
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
        bits = lane_bits(type_)
        function = f"mul_hi_{type_}" if "hi" in instr.mods else f"mul_lo_b{bits}"
        if bits == 64:
            (a0, a1), (b0, b1), (c0, c1) = e.b64(a), e.b64(b), e.b64(c)
            e.set64(target, (f"add_b64({function}({a0}, {b0}), {c0})", f"add_b64({function}({a1}, {b1}), {c1})"))
        else:
            e.set32(target, f"add_b32({function}({e.b32(a)}, {e.b32(b)}), {e.b32(c)})")


def multiply_24(e: AluEmitter, instr: Instr) -> None:
    target, a, b, *c = instr.operands
    which = "hi" if "hi" in instr.mods else "lo"
    product = f"mul24_{which}_{instr.mods[-1]}({e.b32(a)}, {e.b32(b)})"
    e.set32(target, f"add_b32({product}, {e.b32(c[0])})" if c else product)


def divide(e: AluEmitter, instr: Instr) -> None:
    type_ = instr.mods[-1]
    target, a, b = instr.operands
    if type_ in ("f32", "f64"):
        float_op(e, instr, "div")
    elif TYPE_BYTES[type_] == 2:
        x, y = extend16(e, type_, a), extend16(e, type_, b)
        e.set32(target, f"{instr.op}_{type_[0]}32({x}, {y})")
    else:
        e.each(f"{instr.op}_{type_}", target, a, b, bits=lane_bits(type_))


def extreme(e: AluEmitter, instr: Instr) -> None:
    type_ = instr.mods[-1]
    target, *sources = instr.operands
    nan, ftz = "NaN" in instr.mods, "ftz" in instr.mods
    xorsign = "xorsign" in instr.mods

    def make(element: str, *values: str) -> str:
        values = tuple(e.temporary("u", f"{ftz_name(element)}({v})" if ftz else v) for v in values)
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

    if type_ in PAIRS:
        e.set32(target, e.halves(PAIRS[type_], make, *sources))
    elif type_ in HALVES or type_ == "f32":
        e.set32(target, make(type_, *(e.b32(s) for s in sources)))
    elif type_ == "f64":
        e.each(f"{instr.op}_f64", target, *sources, bits=64)
    elif type_ in ("u16x2", "s16x2"):
        extend = "sext16" if type_[0] == "s" else "low16"
        kind = f"{type_[0]}32"
        e.set32(target, e.halves(kind, lambda t, x, y: f"{instr.op}_{t}({extend}({x}), {extend}({y}))", *sources))
    elif TYPE_BYTES[type_] == 2:
        x, y = (extend16(e, type_, s) for s in sources)
        value = f"{instr.op}_{type_[0]}32({x}, {y})"
        e.set32(target, value)
    else:
        e.each(f"{instr.op}_{type_}", target, *sources, bits=lane_bits(type_))
        if "relu" in instr.mods:
            e.each("max_s32", target, target, Imm(0), bits=32)


def sign(e: AluEmitter, instr: Instr) -> None:
    type_ = instr.mods[-1]
    target, a = instr.operands
    if type_ in PAIRS:
        e.set32(target, e.halves(PAIRS[type_], lambda t, x: f"{instr.op}_{t}({x})", a))
    elif type_ in HALVES:
        e.set32(target, f"{instr.op}_{type_}({e.b32(a)})")
    elif type_ == "f32":
        e.set32(target, f"{instr.op}_f32({f32_operand(e, a, 'ftz' in instr.mods)})")
    elif type_ == "f64":
        e.each(f"{instr.op}_f64", target, a, bits=64)
    elif TYPE_BYTES[type_] == 2:
        e.set32(target, f"{instr.op}_{'b32' if instr.op == 'neg' else 's32'}(sext16({e.b32(a)}))")
    else:
        kind = f"b{lane_bits(type_)}" if instr.op == "neg" else f"s{lane_bits(type_)}"
        e.each(f"{instr.op}_{kind}", target, a, bits=lane_bits(type_))


def math_function(e: AluEmitter, instr: Instr) -> None:
    """ex2, lg2, sin, cos, tanh, rcp, sqrt, rsqrt."""
    target, a = instr.operands
    type_ = instr.mods[-1]
    if is_half(type_):
        half_op(e, instr, instr.op)
        return
    rounding = next((m for m in instr.mods if m in ROUNDINGS), None)
    if type_ == "f64":
        if instr.op == "sqrt":
            e.each(f"sqrt_f64<{rounding_mode(instr)}>", target, a, bits=64)
        elif instr.op == "rcp" and rounding not in (None, "rn"):
            e.each(f"div_f64<{rounding_mode(instr)}>", target, Imm(0x3FF0000000000000), a, bits=64)
        else:
            e.each(f"{instr.op}{'_gross' if 'ftz' in instr.mods else ''}_f64", target, a, bits=64)
        return
    ftz = "ftz" in instr.mods
    x = f32_operand(e, a, ftz)
    if instr.op == "sqrt":
        value = f"sqrt_f32<{rounding_mode(instr)}>({x})"
    elif instr.op == "rcp" and rounding not in (None, "rn"):
        value = f"div_f32<{rounding_mode(instr)}>(bc(0x3f800000u), {x})"
    else:
        value = f"{instr.op}_f32({x})"
    e.set32(target, f"ftz({value})" if ftz else value)


def copy_sign(e: AluEmitter, instr: Instr) -> None:
    e.each(f"copysign_{instr.mods[-1]}", *instr.operands, bits=lane_bits(instr.mods[-1]))


def absolute_difference(e: AluEmitter, instr: Instr) -> None:
    type_ = instr.mods[-1]
    if TYPE_BYTES[type_] == 2:
        target, a, b, c = instr.operands
        e.set32(target, f"sad_{type_[0]}32({extend16(e, type_, a)}, {extend16(e, type_, b)}, {e.b32(c)})")
    else:
        e.each(f"sad_{type_}", *instr.operands, bits=lane_bits(type_))
