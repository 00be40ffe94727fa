"""C++ for comparisons, predicates and selections."""

from __future__ import annotations

from kernelwright.sandbox.emulator.alu import AluEmitter
from kernelwright.sandbox.emulator.forms import (
    HALVES,
    PAIRS,
    extend16,
    f32_operand,
    lane_bits,
)
from kernelwright.sandbox.emulator.ptx import TYPE_BYTES, Imm, Instr, Operand, Vec

__all__ = [
    "is_space",
    "select",
    "select_by_sign",
    "set_predicate",
    "set_value",
    "test_class",
]

_INT_COMPARE = {"lo": "lt", "ls": "le", "hi": "gt", "hs": "ge"}


def compare(e: AluEmitter, how: str, type_: str, a: Operand | None, b: Operand | None, ftz: bool) -> str:
    """A comparison as a `K` expression (not for packed types)."""
    if type_ == "f32":
        return f"cmp_{how}_f32({f32_operand(e, a, ftz)}, {f32_operand(e, b, ftz)})"
    if type_ in HALVES:
        return f"cmp_{how}_f32({_widened(type_, e.b32(a), ftz)}, {_widened(type_, e.b32(b), ftz)})"
    how = _INT_COMPARE.get(how, how) if type_ not in ("f64",) else how
    if TYPE_BYTES[type_] == 8:
        kind = {"b": "u64", "u": "u64", "s": "s64", "f": "f64"}[type_[0]]
        (a0, a1), (b0, b1) = e.b64(a), e.b64(b)
        return f"kjoin(cmp_{how}_{kind}({a0}, {b0}), cmp_{how}_{kind}({a1}, {b1}))"
    if TYPE_BYTES[type_] == 2:
        return f"cmp_{how}_{'s' if type_[0] == 's' else 'u'}32({extend16(e, type_, a)}, {extend16(e, type_, b)})"
    return f"cmp_{how}_{'s' if type_[0] == 's' else 'u'}32({e.b32(a)}, {e.b32(b)})"


def _widened(element: str, value: str, ftz: bool) -> str:
    return f"f32_from_{element}(ftz_{element}({value}))" if ftz else f"f32_from_{element}({value})"


def _packed_compare(
    e: AluEmitter, how: str, type_: str, a: Operand | None, b: Operand | None, ftz: bool
) -> tuple[str, str]:
    element = PAIRS[type_]
    x, y = e.temporary("u", e.b32(a)), e.temporary("u", e.b32(b))
    low, high = (
        f"cmp_{how}_f32({_widened(element, f'{part}({x})', ftz)}, {_widened(element, f'{part}({y})', ftz)})"
        for part in ("lower", "upper")
    )
    return low, high


def _combine(value: str, mods: tuple[str, ...], other: str | None) -> str:
    if other is None:
        return value
    operator = {"and": "&", "or": "|", "xor": "^"}[mods[1]]
    return f"(({value}) {operator} {other})"


def set_predicate(e: AluEmitter, instr: Instr) -> None:
    target, a, b, *c = instr.operands
    type_ = instr.mods[-1]
    other = e.pred(c[0]) if c else None
    first, second = target.items if isinstance(target, Vec) else (target, None)
    if type_ in PAIRS:
        low, high = (e.temporary("K", v) for v in _packed_compare(e, instr.mods[0], type_, a, b, "ftz" in instr.mods))
        e.setp(first, _combine(low, instr.mods, other))
        e.setp(second, _combine(high, instr.mods, other))
        return
    value = compare(e, instr.mods[0], type_, a, b, "ftz" in instr.mods)
    if second is not None:
        value = e.temporary("K", value)
        other = e.temporary("K", other) if other is not None else None
        e.setp(second, _combine(f"~{value} & KALL", instr.mods, other))
    e.setp(first, _combine(value, instr.mods, other))


_ONES = {"f32": "0x3f800000u", "f16": "0x3c00u", "bf16": "0x3f80u"}


def set_value(e: AluEmitter, instr: Instr) -> None:
    target, a, b, *c = instr.operands
    type_, source = instr.mods[-2], instr.mods[-1]
    other = e.pred(c[0]) if c else None
    if source in PAIRS:
        one = _ONES[PAIRS[type_]] if type_ in PAIRS else "0xffffu"
        low, high = _packed_compare(e, instr.mods[0], source, a, b, "ftz" in instr.mods)
        parts = [f"sel({_combine(k, instr.mods, other)}, bc({one}), bc(0))" for k in (low, high)]
        e.set32(target, f"pair({parts[0]}, {parts[1]})")
        return
    value = _combine(compare(e, instr.mods[0], source, a, b, "ftz" in instr.mods), instr.mods, other)
    e.set32(target, f"sel({value}, bc({_ONES.get(type_, '0xffffffffu')}), bc(0))")


def select(e: AluEmitter, instr: Instr) -> None:
    _choose(e, instr, instr.mods[-1], e.pred(instr.operands[3]))


def select_by_sign(e: AluEmitter, instr: Instr) -> None:
    is_positive = compare(e, "ge", instr.mods[-1], instr.operands[3], Imm(0), "ftz" in instr.mods)
    _choose(e, instr, instr.mods[-2], e.temporary("K", is_positive))


def _choose(e: AluEmitter, instr: Instr, type_: str, condition: str) -> None:
    """Sets the target to operand 1 where the condition holds, else to operand 2."""
    target, a, b, _ = instr.operands
    if lane_bits(type_) == 64:
        (a0, a1), (b0, b1) = e.b64(a), e.b64(b)
        e.set64(target, (f"sel64(klow({condition}), {a0}, {b0})", f"sel64(khigh({condition}), {a1}, {b1})"))
    else:
        e.set32(target, f"sel({condition}, {e.b32(a)}, {e.b32(b)})")


def test_class(e: AluEmitter, instr: Instr) -> None:
    target, a = instr.operands
    how, type_ = instr.mods
    if type_ == "f64":
        a0, a1 = e.b64(a)
        e.setp(target, f"kjoin(testp_{how}_f64({a0}), testp_{how}_f64({a1}))")
    else:
        e.setp(target, f"testp_{how}_f32({e.b32(a)})")


def is_space(e: AluEmitter, instr: Instr) -> None:
    target, a = instr.operands
    a0, a1 = e.b64(a)
    space = instr.mods[0]
    window = "KW_SHARED_WINDOW" if space.startswith("shared") else "KW_LOCAL_WINDOW" if space == "local" else "0ull"
    parts = [f"cmp_eq_u64({part} & KW_WINDOW_MASK, bc64({window}))" for part in (a0, a1)]
    e.setp(target, f"kjoin({parts[0]}, {parts[1]})" if space != "const" else "0u")
