"""Integer instructions against Python integers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from emulator_forms import EDGES_16, EDGES_32, EDGES_64, pairs, run_forms, signed

M32, M64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF
Binary = dict[str, Callable[[int, int], int]]


def _div(a: int, b: int) -> int:
    """Truncating quotient, as C has it."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def binary_table(bits: int) -> Binary:
    """Forms of two operands and their meaning on unsigned readings of `bits` bits."""
    mask = (1 << bits) - 1

    def s(x: int) -> int:
        return signed(x, bits)

    b, u, i = f"b{bits}", f"u{bits}", f"s{bits}"
    return {
        f"add.{u}": lambda x, y: x + y,
        f"sub.{i}": lambda x, y: x - y,
        f"mul.lo.{u}": lambda x, y: x * y,
        f"mul.hi.{u}": lambda x, y: x * y >> bits,
        f"mul.hi.{i}": lambda x, y: s(x) * s(y) >> bits,
        f"and.{b}": lambda x, y: x & y,
        f"or.{b}": lambda x, y: x | y,
        f"xor.{b}": lambda x, y: x ^ y,
        f"min.{u}": min,
        f"max.{u}": max,
        f"min.{i}": lambda x, y: min(s(x), s(y)),
        f"max.{i}": lambda x, y: max(s(x), s(y)),
        f"div.{u}": lambda x, y: x // y if y else mask,
        f"rem.{u}": lambda x, y: x % y if y else x,
        f"div.{i}": lambda x, y: _div(s(x), s(y)) if y else mask,
        f"rem.{i}": lambda x, y: s(x) - _div(s(x), s(y)) * s(y) if y else x,
    }


def check(table: Binary, type_: str, bits: int, a: np.ndarray, b: np.ndarray) -> None:
    """Every form of the table on all pairs."""
    found = run_forms(list(table), type_, [(type_, a), (type_, b)])
    for form, meaning in table.items():
        wanted = [meaning(int(x), int(y)) & ((1 << bits) - 1) for x, y in zip(a, b, strict=True)]
        bad = [
            (hex(x), hex(y), hex(g), hex(w))
            for x, y, g, w in zip(a, b, found[form], wanted, strict=True)
            if int(g) != w
        ]
        assert not bad, (form, bad[:5])


@pytest.mark.parametrize(("bits", "edges"), [(32, EDGES_32), (64, EDGES_64)])
def test_two_operands(bits: int, edges: list[int]) -> None:
    dtype = np.uint32 if bits == 32 else np.uint64
    check(binary_table(bits), f"u{bits}", bits, *pairs(edges, dtype))


def test_two_operands_of_16_bits() -> None:
    table = binary_table(16)
    # The quotient by zero of 16-bit operands is unspecified: left out.
    a, b = pairs(EDGES_16, np.uint16)
    keep = b != 0
    check(table, "u16", 16, a[keep], b[keep])


def test_shifts_past_the_width() -> None:
    values, counts = pairs([*EDGES_32, 100, 255], np.uint32)
    forms = {
        "shl.b32": lambda x, n: x << n if n < 32 else 0,
        "shr.u32": lambda x, n: x >> n if n < 32 else 0,
        "shr.s32": lambda x, n: signed(x, 32) >> min(n, 31),
    }
    check(forms, "u32", 32, values, counts)
    wide, narrow = (
        pairs(EDGES_64, np.uint64)[0],
        np.resize(np.array([0, 1, 31, 32, 63, 64, 65, 0xFFFFFFFF], np.uint32), 169),
    )
    found = run_forms(["shl.b64", "shr.u64", "shr.s64"], "u64", [("u64", wide), ("u32", narrow)])
    for x, n, left, right, arithmetic in zip(wide, narrow, *found.values(), strict=True):
        x, n = int(x), int(n)
        assert int(left) == (x << n & M64 if n < 64 else 0)
        assert int(right) == (x >> n if n < 64 else 0)
        assert int(arithmetic) == signed(x, 64) >> min(n, 63) & M64
    short, count = pairs(EDGES_16, np.uint16)[0], np.resize(np.array([0, 1, 15, 16, 17, 40], np.uint32), 169)
    found = run_forms(["shl.b16", "shr.u16", "shr.s16"], "u16", [("u16", short), ("u32", count)])
    for x, n, left, right, arithmetic in zip(short, count, *found.values(), strict=True):
        x, n = int(x), int(n)
        assert int(left) == x << n & 0xFFFF
        assert int(right) == x >> n
        assert int(arithmetic) == signed(x, 16) >> min(n, 15) & 0xFFFF


def test_wide_products() -> None:
    a, b = pairs(EDGES_32, np.uint32)
    c = np.resize(np.array(EDGES_64, np.uint64), a.size)
    found = run_forms(["mad.wide.u32", "mad.wide.s32"], "u64", [("u32", a), ("u32", b), ("u64", c)])
    for x, y, z, u, s in zip(a, b, c, *found.values(), strict=True):
        assert int(u) == (int(x) * int(y) + int(z)) & M64
        assert int(s) == (signed(int(x), 32) * signed(int(y), 32) + int(z)) & M64
    a16, b16 = pairs(EDGES_16, np.uint16)
    found = run_forms(["mul.wide.u16", "mul.wide.s16"], "u32", [("u16", a16), ("u16", b16)])
    for x, y, u, s in zip(a16, b16, *found.values(), strict=True):
        assert int(u) == int(x) * int(y)
        assert int(s) == signed(int(x), 16) * signed(int(y), 16) & M32


def _prmt(a: int, b: int, c: int) -> int:
    both = (b << 32 | a).to_bytes(8, "little")
    out = 0
    for i in range(4):
        select = c >> 4 * i & 15
        byte = both[select & 7]
        out |= ((0xFF if byte >> 7 else 0) if select & 8 else byte) << 8 * i
    return out


def _bfe(a: int, position: int, length: int, bits: int, is_signed: bool) -> int:
    position, length = position & 255, length & 255
    field = [a >> i & 1 if i < bits else None for i in range(position, position + length)][:bits]
    if not field or length == 0:
        return 0
    sign = a >> min(position + length - 1, bits - 1) & 1 if is_signed else 0
    value = sum((bit if bit is not None else sign) << i for i, bit in enumerate(field))
    if sign:
        value |= -1 << len(field)
    return value & ((1 << bits) - 1)


def _bfi(a: int, b: int, position: int, length: int, bits: int) -> int:
    position, length = position & 255, length & 255
    keep = (1 << length) - 1
    return (b & ~(keep << position) | (a & keep) << position) & ((1 << bits) - 1) if position < bits else b


def test_three_operands() -> None:
    a, b = pairs(EDGES_32, np.uint32)
    c = np.resize(np.array([0, 5, 31, 32, 40, 0x3210, 0x7654, 0x89AB, 0xFEDC, M32, 0x80000000], np.uint32), a.size)
    table: dict[str, Callable[[int, int, int], int]] = {
        "mad.lo.u32": lambda x, y, z: x * y + z,
        "mad.hi.u32": lambda x, y, z: (x * y >> 32) + z,
        "mad.hi.s32": lambda x, y, z: (signed(x, 32) * signed(y, 32) >> 32) + z,
        "mul24.lo.u32 %0, %1, %2;": lambda x, y, z: (x & 0xFFFFFF) * (y & 0xFFFFFF),
        "sad.u32": lambda x, y, z: abs(x - y) + z,
        "sad.s32": lambda x, y, z: abs(signed(x, 32) - signed(y, 32)) + z,
        "prmt.b32": _prmt,
        "lop3.b32 %0, %1, %2, %3, 0xE8;": lambda x, y, z: x & y | y & z | x & z,
        "lop3.b32 %0, %1, %2, %3, 0x1D;": lambda x, y, z: sum(
            (0x1D >> ((x >> i & 1) << 2 | (y >> i & 1) << 1 | (z >> i & 1)) & 1) << i for i in range(32)
        ),
        "shf.l.wrap.b32": lambda x, y, z: ((y << 32 | x) << (z & 31)) >> 32,
        "shf.r.wrap.b32": lambda x, y, z: (y << 32 | x) >> (z & 31),
        "shf.l.clamp.b32": lambda x, y, z: ((y << 32 | x) << min(z, 32)) >> 32,
        "shf.r.clamp.b32": lambda x, y, z: (y << 32 | x) >> min(z, 32),
        "bfe.u32": lambda x, y, z: _bfe(x, y, z, 32, False),
        "bfe.s32": lambda x, y, z: _bfe(x, y, z, 32, True),
        "bfi.b32 %0, %1, %2, %3, 7;": lambda x, y, z: _bfi(x, y, z, 7, 32),
        "bfi.b32 %0, %1, %2, 3, %3;": lambda x, y, z: _bfi(x, y, 3, z, 32),
        "dp4a.u32.u32": lambda x, y, z: z + sum((x >> s & 255) * (y >> s & 255) for s in (0, 8, 16, 24)),
        "dp4a.s32.s32": lambda x, y, z: z + sum(signed(x >> s, 8) * signed(y >> s, 8) for s in (0, 8, 16, 24)),
        "dp2a.lo.u32.u32": lambda x, y, z: z + (x & 0xFFFF) * (y & 255) + (x >> 16) * (y >> 8 & 255),
        "{.reg .pred p; setp.ne.u32 p, %3, 0; selp.b32 %0, %1, %2, p;}": lambda x, y, z: x if z else y,
        "slct.b32.s32": lambda x, y, z: x if signed(z, 32) >= 0 else y,
        "{.reg .u32 t; add.cc.u32 t, %1, %2; addc.u32 %0, %3, 0;}": lambda x, y, z: z + (x + y >> 32),
        "{.reg .u32 t; sub.cc.u32 t, %1, %2; subc.u32 %0, %3, 0;}": lambda x, y, z: z - (x < y),
        "{.reg .u32 t; mad.lo.cc.u32 t, %1, %2, %3; madc.hi.u32 %0, %1, %2, 5;}": lambda x, y, z: (x * y + z >> 32) + 5,
    }
    # madc.hi adds the carry of the low half; x*y+z>>32 says the same as long as z fits 32 bits.
    found = run_forms(list(table), "u32", [("u32", a), ("u32", b), ("u32", c)])
    for form, meaning in table.items():
        for x, y, z, got in zip(a, b, c, found[form], strict=True):
            assert int(got) == meaning(int(x), int(y), int(z)) & M32, (form, hex(x), hex(y), hex(z), hex(got))


def test_one_operand() -> None:
    a = np.array([*EDGES_32, *(1 << i for i in range(32))], np.uint32)
    table: dict[str, Callable[[int], int]] = {
        "not.b32": lambda x: ~x,
        "neg.s32": lambda x: -x,
        "abs.s32": lambda x: abs(signed(x, 32)),
        "cnot.b32": lambda x: int(x == 0),
        "popc.b32": lambda x: x.bit_count(),
        "clz.b32": lambda x: 32 - x.bit_length(),
        "brev.b32": lambda x: int(f"{x:032b}"[::-1], 2),
        "bfind.u32": lambda x: x.bit_length() - 1,
        "bfind.s32": lambda x: (~x & M32 if x >> 31 else x).bit_length() - 1,
        "bfind.shiftamt.u32": lambda x: 32 - x.bit_length() if x else -1,
        "cvt.s32.s8": lambda x: signed(x, 8),
        "cvt.u32.u16 %0, w;": lambda x: x & 0xFFFF,
        "cvt.sat.u8.s32": lambda x: max(0, min(255, signed(x, 32))),
        "cvt.sat.s8.s32": lambda x: max(-128, min(127, signed(x, 32))),
        "cvt.sat.s32.u32": lambda x: min(x, 0x7FFFFFFF),
        "mov.b32 %0, %1;": lambda x: x,
        "{.reg .b16 l, h; mov.b32 {l, h}, %1; mov.b32 %0, {h, l};}": lambda x: x >> 16 | (x & 0xFFFF) << 16,
        "{.reg .pred p, q; setp.lt.u32 p|q, %1, 32; selp.u32 %0, 5, 6, q;}": lambda x: 6 if x < 32 else 5,
        "{.reg .pred p, q; setp.gt.s32 q, %1, 0; setp.lt.and.s32 p, %1, 32, !q; selp.u32 %0, 1, 0, p;}": (
            lambda x: int(signed(x, 32) < 32 and not signed(x, 32) > 0)
        ),
        "set.le.u32.s32 %0, %1, 7;": lambda x: M32 if signed(x, 32) <= 7 else 0,
        "{.reg .pred p; setp.hi.u32 p, %1, 99; @p mov.u32 %0, 1; @!p mov.u32 %0, 2;}": lambda x: 1 if x > 99 else 2,
        "fns.b32 %0, %1, 0, 3;": lambda x: next((i for i in range(32) if (x & ((2 << i) - 1)).bit_count() == 3), -1),
    }
    forms = [f for f in table if " w;" not in f]
    found = run_forms(forms, "u32", [("u32", a)])
    for form in forms:
        for x, got in zip(a, found[form], strict=True):
            assert int(got) == table[form](int(x)) & M32, (form, hex(x), hex(got))


def test_one_operand_of_64_bits() -> None:
    a = np.array([*EDGES_64, *(1 << i for i in range(64))], np.uint64)
    table: dict[str, Callable[[int], int]] = {
        "not.b64": lambda x: ~x,
        "neg.s64": lambda x: -x,
        "abs.s64": lambda x: abs(signed(x, 64)),
        "brev.b64": lambda x: int(f"{x:064b}"[::-1], 2),
        "cvt.s64.s8": lambda x: signed(x, 8),
        "cvt.s64.s32": lambda x: signed(x, 32),
        "{.reg .b32 l, h; mov.b64 {l, h}, %1; mov.b64 %0, {h, l};}": lambda x: x >> 32 | (x & M32) << 32,
        "bfe.u64 %0, %1, 60, 9;": lambda x: _bfe(x, 60, 9, 64, False),
        "bfe.s64 %0, %1, 3, 17;": lambda x: _bfe(x, 3, 17, 64, True),
        "bfi.b64 %0, %1, %1, 12, 40;": lambda x: _bfi(x, x, 12, 40, 64),
        "{.reg .pred p; setp.ge.s64 p, %1, 0; selp.b64 %0, 3, 4, p;}": lambda x: 3 if signed(x, 64) >= 0 else 4,
    }
    found = run_forms(list(table), "u64", [("u64", a)])
    for form, meaning in table.items():
        for x, got in zip(a, found[form], strict=True):
            assert int(got) == meaning(int(x)) & M64, (form, hex(x), hex(got))
    counts: dict[str, Callable[[int], int]] = {
        "popc.b64": lambda x: x.bit_count(),
        "clz.b64": lambda x: 64 - x.bit_length(),
        "bfind.u64": lambda x: x.bit_length() - 1,
        "cvt.u32.u64": lambda x: x,
        "cvt.sat.s32.s64": lambda x: max(-(2**31), min(2**31 - 1, signed(x, 64))),
        "cvt.sat.u16.s64": lambda x: max(0, min(65535, signed(x, 64))),
    }
    found = run_forms(list(counts), "u32", [("u64", a)])
    for form, meaning in counts.items():
        for x, got in zip(a, found[form], strict=True):
            assert int(got) == meaning(int(x)) & M32, (form, hex(x), hex(got))


def test_saturating_addition() -> None:
    a, b = pairs(EDGES_32, np.uint32)

    def clamp(value: int) -> int:
        return max(-(2**31), min(2**31 - 1, value))

    table = {
        "add.sat.s32": lambda x, y: clamp(signed(x, 32) + signed(y, 32)),
        "sub.sat.s32": lambda x, y: clamp(signed(x, 32) - signed(y, 32)),
    }
    check(table, "u32", 32, a, b)
