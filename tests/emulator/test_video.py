"""Video instructions against Python integers, as PTX ISA 9.7.18 describes them."""

from __future__ import annotations

import operator
from collections.abc import Callable

import numpy as np
import pytest
from emulator_forms import EDGES_32, run_forms, signed

COMPARE: dict[str, Callable[[int, int], bool]] = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge,
}  # fmt: skip
RESULTS: dict[str, Callable[[int, int], int]] = {
    "add": operator.add,
    "sub": operator.sub,
    "absdiff": lambda p, q: abs(p - q),
    "min": min,
    "max": max,
    "avrg": lambda p, q: (p + q + 1) // 2 if p + q >= 0 else (p + q) // 2,
    **{name: lambda p, q, how=how: int(how(p, q)) for name, how in COMPARE.items()},
}


def words(count: int) -> list[np.ndarray]:
    """Three operands: edge values against each other, then random words."""
    rng = np.random.default_rng(7)
    edges = np.array(EDGES_32, np.uint32)
    random = rng.integers(0, 2**32, (3, count), dtype=np.uint32)
    a, b = (grid.ravel() for grid in np.meshgrid(edges, edges))
    c = rng.permutation(a)
    return [np.concatenate([edge, more]) for edge, more in zip((a, b, c), random, strict=True)]


def piece(word: int, first: int, bits: int, type_: str) -> int:
    value = word >> first & ((1 << bits) - 1)
    return signed(value, bits) if type_ == "s32" else value


def clamp(value: int, bits: int, type_: str) -> int:
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if type_ == "s32" else (0, (1 << bits) - 1)
    return min(max(value, low), high)


def simd(form: str, a: int, b: int, c: int) -> int:
    """`vadd2.s32.u32.s32.sat d.h1 a.h32 b.h00`: one instruction in parts."""
    opcode, d_part, a_part, b_part = form.split()
    name, *mods = opcode.split(".")
    count = int(name[-1])
    bits = 32 // count
    types = [m for m in mods if m in ("u32", "s32")]
    what = next((m for m in mods if m in COMPARE), name[1:-1])
    to, of_a, of_b = types if len(types) == 3 else ("u32", *types)
    both = a | b << 32
    result = c if "add" in mods else 0
    for i in range(count):
        if str(i) not in d_part.split(".")[1][1:]:
            result |= 0 if "add" in mods else c & ((1 << bits) - 1) << i * bits
            continue
        p = piece(both, int(a_part.split(".")[1][count - i]) * bits, bits, of_a)
        q = piece(both, int(b_part.split(".")[1][count - i]) * bits, bits, of_b)
        t = RESULTS[what](p, q)
        if "sat" in mods:
            t = clamp(t, bits, to)
        result = result + t if "add" in mods else result | (t & ((1 << bits) - 1)) << i * bits
    return result & 0xFFFFFFFF


SIMD_FORMS = [
    "vadd2.s32.s32.s32 d.h10 a.h10 b.h32",
    "vadd2.u32.u32.u32.sat d.h10 a.h10 b.h32",
    "vadd2.s32.u32.s32.sat d.h1 a.h30 b.h12",
    "vsub2.s32.s32.s32.sat d.h0 a.h23 b.h01",
    "vsub2.u32.u32.u32.add d.h10 a.h10 b.h32",
    "vavrg2.s32.s32.s32 d.h10 a.h11 b.h32",
    "vabsdiff2.u32.s32.s32.add d.h1 a.h10 b.h32",
    "vmin2.s32.s32.u32 d.h10 a.h10 b.h32",
    "vmax2.u32.u32.s32.sat d.h10 a.h10 b.h32",
    "vset2.s32.u32.lt d.h10 a.h10 b.h32",
    "vset2.u32.u32.ge.add d.h10 a.h01 b.h23",
    "vadd4.u32.u32.u32 d.b3210 a.b3210 b.b7654",
    "vadd4.s32.s32.s32.sat d.b20 a.b7654 b.b0123",
    "vsub4.s32.u32.u32.sat d.b310 a.b1111 b.b7654",
    "vavrg4.u32.u32.u32 d.b3210 a.b3210 b.b7654",
    "vabsdiff4.u32.u32.u32.add d.b3210 a.b3210 b.b7654",
    "vmin4.s32.s32.s32.add d.b21 a.b3210 b.b7654",
    "vmax4.s32.s32.s32 d.b3210 a.b0426 b.b7531",
    "vset4.u32.s32.ne d.b3210 a.b3210 b.b7654",
    "vset4.s32.s32.le.add d.b3 a.b3210 b.b7654",
    "vset4.u32.u32.eq d.b32 a.b3210 b.b7654",
    "vset4.u32.u32.gt d.b3210 a.b3210 b.b7654",
]


def text(form: str) -> str:
    """The instruction as inline assembly: a whole mask and the usual selectors are not written."""
    opcode, *parts = form.split()
    usual = ("h10", "h10", "h32"), ("b3210", "b3210", "b7654")
    kept = [p.split(".")[1] for p in parts]
    suffixes = [
        "" if part == plain[i] else f".{part}"
        for i, part in enumerate(kept)
        for plain in usual
        if part[0] == plain[0][0]
    ]
    return f"{opcode} %0{suffixes[0]}, %1{suffixes[1]}, %2{suffixes[2]}, %3;"


def test_parallel_bytes_and_half_words() -> None:
    a, b, c = words(200)
    found = run_forms([text(f) for f in SIMD_FORMS], "u32", [("u32", a), ("u32", b), ("u32", c)])
    for form in SIMD_FORMS:
        want = [simd(form, *row) for row in zip(a.tolist(), b.tolist(), c.tolist(), strict=True)]
        np.testing.assert_array_equal(found[text(form)], np.array(want, np.uint32), err_msg=form)


def part_of(operand: str) -> tuple[int, int]:
    """(first bit, bits) of `%1.h1`."""
    _, _, part = operand.strip(" ;").partition(".")
    bits = {"": 32, "b": 8, "h": 16}[part[:1]]
    return (int(part[1:]) * bits if part else 0), bits


def scalar(form: str, a: int, b: int, c: int) -> int:
    opcode, _, operands = form.partition(" ")
    name, *mods = opcode.split(".")
    d_part, a_part, b_part, *third = (part_of(o) for o in operands.split(","))
    types = [m for m in mods if m in ("u32", "s32")]
    to, of_a, of_b = types if len(types) == 3 else ("u32", *types)
    p, q = piece(a, *a_part, of_a), piece(b, *b_part, of_b)
    if name in ("vshl", "vshr"):
        q = min(q, 32) if "clamp" in mods else q & 31
        t = p << q if name == "vshl" else p >> q
    else:
        t = RESULTS[next((m for m in mods if m in COMPARE), name[1:])](p, q)
    if "sat" in mods:
        t = clamp(t, d_part[1], to)
    if third and d_part[1] == 32:
        extended = signed(c, 32) if to == "s32" else c
        second = next(m for m in reversed(mods) if m in ("add", "min", "max"))
        t = {"add": operator.add, "min": min, "max": max}[second](t, extended)
    if d_part[1] == 32:
        return t & 0xFFFFFFFF
    field = ((1 << d_part[1]) - 1) << d_part[0]
    return (t << d_part[0] & field) | (c & ~field & 0xFFFFFFFF)


SCALAR_FORMS = [
    "vadd.s32.u32.s32.sat %0, %1.b0, %2.h0;",
    "vadd.u32.u32.u32 %0, %1, %2;",
    "vadd.u32.u32.u32.sat %0, %1, %2;",
    "vadd.s32.s32.s32.sat.min %0, %1, %2, %3;",
    "vsub.s32.s32.u32.sat %0, %1.h1, %2.h1;",
    "vsub.s32.u32.u32.sat.add %0, %1, %2, %3;",
    "vabsdiff.s32.s32.s32.sat %0.h0, %1.b0, %2.b2, %3;",
    "vabsdiff.u32.u32.u32.add %0, %1.b3, %2.b1, %3;",
    "vmin.s32.s32.s32.sat.add %0, %1, %2, %3;",
    "vmax.u32.u32.u32.max %0, %1.h0, %2.h1, %3;",
    "vmax.s32.s32.u32.sat %0.b3, %1, %2, %3;",
    "vshl.s32.u32.u32.clamp %0, %1, %2;",
    "vshl.s32.s32.u32.sat.clamp %0, %1.h1, %2.b0;",
    "vshl.u32.u32.u32.sat.wrap %0, %1, %2;",
    "vshr.u32.u32.u32.wrap %0, %1, %2.h1;",
    "vshr.s32.s32.u32.clamp.add %0, %1, %2, %3;",
    "vshr.s32.s32.u32.sat.clamp %0.b1, %1, %2.b2, %3;",
    "vset.s32.u32.lt %0, %1, %2;",
    "vset.u32.u32.ne.add %0, %1, %2.h1, %3;",
    "vset.s32.s32.ge %0.b2, %1.b0, %2.b1, %3;",
]


def test_one_byte_half_word_or_word() -> None:
    a, b, c = words(200)
    found = run_forms(SCALAR_FORMS, "u32", [("u32", a), ("u32", b), ("u32", c)])
    for form in SCALAR_FORMS:
        want = [scalar(form, *row) for row in zip(a.tolist(), b.tolist(), c.tolist(), strict=True)]
        np.testing.assert_array_equal(found[form], np.array(want, np.uint32), err_msg=form)


@pytest.mark.parametrize(
    ("form", "product", "addend", "one", "scale", "sat"),
    [
        ("vmad.u32.u32.u32 %0, %1.h0, %2.b3, %3;", 1, 1, 0, 0, False),
        ("vmad.u32.u32.u32.sat.shr15 %0, %1.h0, %2.h0, %3;", 1, 1, 0, 15, True),
        ("vmad.s32.s32.u32.sat %0, %1, %2, -%3;", 1, -1, 0, 0, True),
        ("vmad.s32.u32.s32.shr7 %0, -%1.h1, %2.h0, %3;", -1, 1, 0, 7, False),
        ("vmad.u32.u32.u32.po.shr7 %0, %1.b0, %2.b1, %3;", 1, 1, 1, 7, False),
        ("vmad.s32.u32.u32.sat %0, %1.h0, -%2.h1, %3;", -1, 1, 0, 0, True),
    ],
)
def test_multiply_add(form: str, product: int, addend: int, one: int, scale: int, sat: bool) -> None:
    a, b, c = words(100)
    found = run_forms([form], "u32", [("u32", a), ("u32", b), ("u32", c)])[form]
    opcode, _, operands = form.partition(" ")
    to, of_a, of_b = [m for m in opcode.split(".") if m in ("u32", "s32")]
    a_part, b_part = (part_of(o) for o in operands.split(",")[1:3])
    is_signed = "s32" in (of_a, of_b) or product < 0

    def want(x: int, y: int, z: int) -> int:
        value = product * piece(x, *a_part, of_a) * piece(y, *b_part, of_b)
        value += addend * (signed(z, 32) if is_signed else z) + one
        value >>= scale
        return (clamp(value, 32, to) if sat else value) & 0xFFFFFFFF

    expected = [want(*row) for row in zip(a.tolist(), b.tolist(), c.tolist(), strict=True)]
    np.testing.assert_array_equal(found, np.array(expected, np.uint32))
