"""C++ for logic, shifts, bit counts, bit fields and byte permutations."""

from __future__ import annotations

from collections.abc import Callable

from kernelwright.sandbox.emulator.alu import AluEmitter, refuse
from kernelwright.sandbox.emulator.forms import (
    extend16,
    lane_bits,
)
from kernelwright.sandbox.emulator.ptx import TYPE_BYTES, Imm, Instr

__all__ = [
    "bit_count",
    "bit_field",
    "bit_reverse",
    "extend_field",
    "logic",
    "lop3",
    "permute",
    "shift",
    "signed_flag",
    "simple32",
]

_PRMT_MODES = {"f4e": 1, "b4e": 2, "rc8": 3, "ecl": 4, "ecr": 5, "rc16": 6}


def logic(e: AluEmitter, instr: Instr) -> None:
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
        e.each(f"{instr.op}_b{lane_bits(type_)}", target, *sources, bits=lane_bits(type_))


def shift(e: AluEmitter, instr: Instr) -> None:
    type_ = instr.mods[-1]
    target, a, count = instr.operands
    kind = "b" if instr.op == "shl" else "s" if type_[0] == "s" else "u"
    if TYPE_BYTES[type_] == 8:
        (a0, a1), n = e.b64(a), e.b32(count)
        function = f"{instr.op}_{kind}64"
        e.set64(target, (f"{function}({a0}, zext0({n}))", f"{function}({a1}, zext1({n}))"))
    elif TYPE_BYTES[type_] == 2:
        value = extend16(e, type_, a) if instr.op == "shr" else e.b32(a)
        e.set32(target, f"{instr.op}_{kind}32({value}, {e.b32(count)})")
    else:
        e.each(f"{instr.op}_{kind}32", target, a, count, bits=32)


def lop3(e: AluEmitter, instr: Instr) -> None:
    if instr.mods != ("b32",):
        refuse(instr)
    target, a, b, c, table = instr.operands
    assert isinstance(table, Imm)
    e.set32(target, f"lop3_b32<{table.value & 255}>({e.b32(a)}, {e.b32(b)}, {e.b32(c)})")


def bit_count(e: AluEmitter, instr: Instr) -> None:
    """popc, clz, bfind: 32-bit results."""
    target, a = instr.operands
    type_ = instr.mods[-1]
    name = "_".join((instr.op, *instr.mods))
    if TYPE_BYTES[type_] == 8:
        a0, a1 = e.b64(a)
        e.set32(target, f"low_words({name}({a0}), {name}({a1}))")
    else:
        e.each(name, target, a, bits=32)


def bit_reverse(e: AluEmitter, instr: Instr) -> None:
    e.each(f"brev_{instr.mods[-1]}", *instr.operands, bits=lane_bits(instr.mods[-1]))


def bit_field(e: AluEmitter, instr: Instr) -> None:
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


def simple32(name: Callable[[Instr], str]) -> Callable[[AluEmitter, Instr], None]:
    def emit(e: AluEmitter, instr: Instr) -> None:
        e.each(name(instr), *instr.operands, bits=32)

    return emit


def signed_flag(mod: str) -> str:
    return "true" if mod[0] == "s" else "false"


def extend_field(e: AluEmitter, instr: Instr) -> None:
    if "wrap" in instr.mods:
        refuse(instr)
    target, a, n = instr.operands
    e.set32(target, f"szext_clamp({e.b32(a)}, {e.b32(n)}, {signed_flag(instr.mods[-1])})")


def permute(e: AluEmitter, instr: Instr) -> None:
    mode = _PRMT_MODES[instr.mods[-1]] if instr.mods[-1] != "b32" else 0
    e.each(f"prmt_b32<{mode}>", *instr.operands, bits=32)
