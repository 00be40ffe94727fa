"""C++ for `cvt` (PTX ISA 9.7.9.21): between integers, binary16, bfloat16, binary32 and binary64."""

from __future__ import annotations

from kernelwright.sandbox.emulator.alu import AluEmitter, refuse
from kernelwright.sandbox.emulator.ptx import TYPE_BYTES, Instr, Operand, Reg

__all__ = ["convert"]

_FLOATS = frozenset(("f16", "bf16", "f32", "f64"))
_EIGHTS = {"e4m3x2": "e4m3", "e5m2x2": "e5m2"}
_ROUND = {"rn": "RN", "rz": "RZ", "rm": "RM", "rp": "RP", "rni": "RN", "rzi": "RZ", "rmi": "RM", "rpi": "RP"}


def convert(e: AluEmitter, instr: Instr) -> None:
    """Appends the statements of one conversion.

    Raises:
        UnsupportedError: a form that is not known (6 and 4 bits, stochastic rounding).
    """
    target, *sources = instr.operands
    to, of = instr.mods[-2], instr.mods[-1]
    flags = frozenset(instr.mods[:-2])
    rounding = next((_ROUND[m] for m in instr.mods if m in _ROUND), "RN")
    if to in _EIGHTS or of in _EIGHTS:
        _eight_bits(e, instr, to, of, flags)
    elif to in ("f16x2", "bf16x2") and of == "f32":
        high, low = (_narrow(to[:-2], rounding, e.b32(s), flags) for s in sources)
        e.set32(target, f"pair(low16({low}), low16({high}))")
    elif to == "tf32" and of == "f32":
        how = next((m for m in ("rna", "rn", "rz") if m in flags), None)
        if how is None:
            refuse(instr)
        value = f"tf32_{how}({e.b32(sources[0])})"
        if "satfinite" in flags:
            value = f"finite_tf32({value})"
        e.set32(target, f"relu_f32({value})" if "relu" in flags else value)
    elif to in _FLOATS and of in _FLOATS:
        _float_to_float(e, instr, to, of, flags, rounding)
    elif to in _FLOATS and of in TYPE_BYTES:
        _int_to_float(e, instr, to, of, flags, rounding)
    elif of in _FLOATS and to in TYPE_BYTES:
        _float_to_int(e, instr, to, of, flags)
    elif to in TYPE_BYTES and of in TYPE_BYTES and "pack" not in flags:
        _int_to_int(e, instr, to, of, flags)
    else:
        refuse(instr)


def _eight_bits(e: AluEmitter, instr: Instr, to: str, of: str, flags: frozenset[str]) -> None:
    """Pairs of 8-bit floats, from two f32 or from packed halves, and back to f16x2."""
    target, *sources = instr.operands
    relu = "relu" in flags
    if of in _EIGHTS:
        if to != "f16x2":
            refuse(instr)
        x = e.temporary("u", e.b32(sources[0]))
        parts = [f"f16_from_{_EIGHTS[of]}({x} {shift})" for shift in ("& 0xffu", ">> 8 & 0xffu")]
        if relu:
            parts = [f"relu_f16({part})" for part in parts]
        e.set32(target, f"pair({parts[0]}, {parts[1]})")
        return
    if of == "f32":
        high, low = (e.temporary("u", e.b32(s)) for s in sources)
    elif of in ("f16x2", "bf16x2"):
        x = e.temporary("u", e.b32(sources[0]))
        low, high = (f"f32_from_{of[:-2]}({half}({x}))" for half in ("lower", "upper"))
    else:
        refuse(instr)
    name = f"{_EIGHTS[to]}_from_f32<{'true' if relu else 'false'}>"
    e.set32(target, f"({name}({low}) | {name}({high}) << 8)")


def _narrow(to: str, rounding: str, value: str, flags: frozenset[str]) -> str:
    result = f"{to}_from_f32<{rounding}>({value})"
    if "satfinite" in flags:
        result = f"finite_{to}({result})"
    if "sat" in flags:
        result = f"sat_{to}({result})"
    return f"relu_{to}({result})" if "relu" in flags else result


def _as_f32(e: AluEmitter, of: str, source: Operand | None) -> str:
    value = e.b32(source)
    return value if of == "f32" else f"f32_from_{of}({value})"


def _float_to_float(e: AluEmitter, instr: Instr, to: str, of: str, flags: frozenset[str], rounding: str) -> None:
    target, source = instr.operands[0], instr.operands[1]
    ftz = "ftz" in flags
    integral = next((m for m in flags if m in ("rni", "rzi", "rmi", "rpi")), None)
    if of == "f64":
        a, b = e.b64(source)
        if to == "f64":
            if integral:
                a, b = f"rint_f64<{rounding}>({a})", f"rint_f64<{rounding}>({b})"
            if "sat" in flags:
                a, b = f"sat_f64({a})", f"sat_f64({b})"
            e.set64(target, (a, b))
            return
        value = f"{to}_from_f64<{rounding}>({a}, {b})"
    else:
        value = _as_f32(e, of, source)
        if ftz and of == "f32":
            value = f"ftz({value})"
        if to == "f64":
            x = e.temporary("u", value)
            parts = (f"f64_from_f32_0({x})", f"f64_from_f32_1({x})")
            e.set64(target, (f"sat_f64({parts[0]})", f"sat_f64({parts[1]})") if "sat" in flags else parts)
            return
        if integral:
            value = f"rint_f32<{rounding}>({value})"
        if to != "f32":
            e.set32(target, _narrow(to, "RN" if integral else rounding, value, flags))
            return
    if ftz and to == "f32":
        value = f"ftz({value})"
    if "sat" in flags and to == "f32":
        value = f"sat_f32({value})"
    e.set32(target, value)


def _int_to_float(e: AluEmitter, instr: Instr, to: str, of: str, flags: frozenset[str], rounding: str) -> None:
    target, source = instr.operands[0], instr.operands[1]
    signed = of[0] == "s"
    if TYPE_BYTES[of] == 8:
        a, b = e.b64(source)
        flag = "true" if signed else "false"
        # Beyond 2^53 both 16-bit formats have long rounded or overflowed the same way.
        first = rounding if to == "f64" else "RZ"
        doubles = f"f64_from_b64<{first}, {flag}>({a})", f"f64_from_b64<{first}, {flag}>({b})"
        single = f"f32_from_b64<{rounding}, {flag}>({a}, {b})"
    else:
        x = e.temporary("u", _extended(e, of, source))
        kind = "s32" if signed else "u32"
        doubles = f"f64_from_{kind}_0({x})", f"f64_from_{kind}_1({x})"
        single = f"f32_from_{kind}<{rounding}>({x})"
    if to == "f64":
        e.set64(target, doubles)
        return
    value = single if to == "f32" else f"{to}_from_f64<{rounding}>({doubles[0]}, {doubles[1]})"
    if "sat" in flags:
        value = f"sat_{to}({value})"
    e.set32(target, value)


def _extended(e: AluEmitter, type_: str, source: Operand | None) -> str:
    """A value of up to 32 bits, sign- or zero-extended to 32."""
    value = e.b32(source)
    size = TYPE_BYTES[type_]
    if size == 4:
        return value
    return f"{'sext' if type_[0] == 's' else 'low'}{8 * size}({value})"


_RANGE = {1: ("-128", "127", "255"), 2: ("-32768", "32767", "65535")}


def _float_to_int(e: AluEmitter, instr: Instr, to: str, of: str, flags: frozenset[str]) -> None:
    target, source = instr.operands[0], instr.operands[1]
    rounding = next((_ROUND[m] for m in instr.mods if m in ("rni", "rzi", "rmi", "rpi")), "RZ")
    size = TYPE_BYTES[to]
    signed = to[0] == "s"
    if of == "f64" or size == 8:
        if of == "f64":
            a, b = e.b64(source)
        else:
            value = _as_f32(e, of, source)
            x = e.temporary("u", f"ftz({value})" if "ftz" in flags else value)
            a, b = f"f64_from_f32_0({x})", f"f64_from_f32_1({x})"
        kind = "s64" if signed else "u64"
        bits = 8 * size
        wholes = [e.temporary("U", f"rint_f64<{rounding}>({part})") for part in (a, b)]
        parts = [f"{kind}_from_f64({whole})" for whole in wholes]
        if size < 8:
            if signed:
                bound = f"{-(1 << (bits - 1))}ll, {(1 << (bits - 1)) - 1}ll"
                parts = [f"clamp_s64({part}, {bound})" for part in parts]
            else:
                parts = [f"clamp_u64({part}, {(1 << bits) - 1}ull)" for part in parts]
        parts = [f"at_nan({whole}, {part}, 1ull << {bits - 1})" for whole, part in zip(wholes, parts, strict=True)]
        if size < 8:
            e.set32(target, _to_register(to, f"low_words({parts[0]}, {parts[1]})"))
        else:
            e.set64(target, (parts[0], parts[1]))
        return
    value = _as_f32(e, of, source)
    value = f"rint_f32<{rounding}>({f'ftz({value})' if 'ftz' in flags else value})"
    if size == 4:
        e.set32(target, f"{'s32' if signed else 'u32'}_from_f32({value})")
        return
    low, high, top = _RANGE[size]
    clamped = (
        f"clamp_s32(s32_from_f32({value}), {low}, {high})" if signed else f"clamp_u32(u32_from_f32({value}), {top})"
    )
    e.set32(target, _to_register(to, clamped))


def _to_register(to: str, value: str) -> str:
    """A narrow result in a wider register is extended by its sign; set32 cuts it for 16-bit registers."""
    if TYPE_BYTES[to] < 4 and to[0] != "s":
        return f"low{8 * TYPE_BYTES[to]}({value})"
    return value


def _int_to_int(e: AluEmitter, instr: Instr, to: str, of: str, flags: frozenset[str]) -> None:
    target, source = instr.operands[0], instr.operands[1]
    size_to, size_of = TYPE_BYTES[to], TYPE_BYTES[of]
    if "sat" in flags:
        _saturate(e, instr, to, of)
        return
    wide = isinstance(target, Reg) and target.bits == 64
    if size_of == 8:
        a, b = e.b64(source)
        if size_to == 8:
            e.set64(target, (a, b))
            return
        value = f"low_words({a}, {b})"
    else:
        value = _extended(e, of, source)
    if size_to < 4:
        value = f"{'sext' if to[0] == 's' else 'low'}{8 * size_to}({value})"
    if not wide:
        e.set32(target, value)
        return
    # The value is extended to 64 bits by the signedness of the source (or of a narrower destination type).
    signed = (to if size_to < size_of or size_to < 4 else of)[0] == "s"
    x = e.temporary("u", value)
    extend = "sext" if signed else "zext"
    e.set64(target, (f"{extend}0({x})", f"{extend}1({x})"))


def _saturate(e: AluEmitter, instr: Instr, to: str, of: str) -> None:
    target, source = instr.operands[0], instr.operands[1]
    bits = 8 * TYPE_BYTES[to]
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if to[0] == "s" else (0, (1 << bits) - 1)
    if TYPE_BYTES[of] == 8:
        a, b = e.b64(source)
    else:
        x = e.temporary("u", _extended(e, of, source))
        extend = "sext" if of[0] == "s" else "zext"
        a, b = f"{extend}0({x})", f"{extend}1({x})"
    if of[0] == "s":
        high = min(high, (1 << 63) - 1)
        parts = [f"clamp_s64({p}, {low}ll, {high}ll)" if low > -(1 << 63) else p for p in (a, b)]
    else:
        parts = [f"clamp_u64({p}, {high}ull)" for p in (a, b)]
    e.set64(target, (parts[0], parts[1]))
