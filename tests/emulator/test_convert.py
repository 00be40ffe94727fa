"""cvt and 16-bit floating point against NumPy and exact arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from emulator_forms import EDGES_32, EDGES_64, f32_edges, f64_edges, run_forms, signed

from kernelwright.errors import UnsupportedError

ROUND = {"rni": round, "rzi": math.trunc, "rmi": math.floor, "rpi": math.ceil}


def to_integer(value: float, how: str, bits: int, is_signed: bool, source: str) -> int:
    """PTX's rule: round, then saturate; NaN gives 0, or the top bit alone if 64 bits are on either side."""
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if is_signed else (0, (1 << bits) - 1)
    if math.isnan(value):
        return (low if is_signed else 1 << (bits - 1)) if source == "f64" or bits == 64 else 0
    if math.isinf(value):
        return high if value > 0 else low
    return max(low, min(high, ROUND[how](Fraction(value))))


@pytest.mark.parametrize("source", ["f32", "f64"])
@pytest.mark.parametrize(
    ("target", "bits"), [("s32", 32), ("u32", 32), ("s64", 64), ("u64", 64), ("s16", 16), ("u8", 8)]
)
def test_float_to_integer(source: str, target: str, bits: int) -> None:
    x = f32_edges() if source == "f32" else f64_edges()
    register = f"u{max(16, bits)}"
    forms = [f"cvt.{how}.{target}.{source} %0, %1;" for how in ROUND]
    if bits == 8:
        # 8-bit results live in wider registers.
        register = "u32"
    found = run_forms(forms, register, [(source, x)])
    for how, form in zip(ROUND, forms, strict=True):
        for value, got in zip(x, found[form], strict=True):
            wanted = to_integer(float(value), how, bits, target[0] == "s", source)
            width = 32 if bits == 8 else bits
            assert int(got) == wanted & ((1 << width) - 1), (form, value)


def test_integer_to_float() -> None:
    x = np.array([*EDGES_32, 16777217, 33554435, 0x80000041], np.uint32)
    found = run_forms(
        ["cvt.rn.f32.u32 %0, %1;", "cvt.rn.f32.s32 %0, %1;", "cvt.rz.f32.u32 %0, %1;"], "f32", [("u32", x)]
    )
    nearest, from_signed, truncated = found.values()
    assert np.array_equal(nearest, x.astype(np.float32))
    assert np.array_equal(from_signed, x.view(np.int32).astype(np.float32))
    assert all(
        Fraction(float(t)) <= int(v) and abs(int(v) - Fraction(float(t))) < 256
        for t, v in zip(truncated, x, strict=True)
    )
    wide = np.array([*EDGES_64, (1 << 53) + 1, (1 << 60) + (1 << 36) + 1], np.uint64)
    found32 = run_forms(["cvt.rn.f32.u64 %0, %1;", "cvt.rn.f32.s64 %0, %1;"], "f32", [("u64", wide)])
    for v, u, s in zip(wide, *found32.values(), strict=True):
        # float32(int) in NumPy goes through binary64 and may round twice; Fraction comparison does not.
        for exact, got in ((int(v), u), (signed(int(v), 64), s)):
            up, down = np.nextafter(got, np.float32(np.inf)), np.nextafter(got, np.float32(-np.inf))
            error = abs(Fraction(float(got)) - exact)
            assert error <= abs(Fraction(float(up)) - exact)
            assert error <= abs(Fraction(float(down)) - exact)
    found64 = run_forms(["cvt.rn.f64.u64 %0, %1;", "cvt.rn.f64.s64 %0, %1;"], "f64", [("u64", wide)])
    for v, u, s in zip(wide, *found64.values(), strict=True):
        assert float(u) == float(int(v))
        assert float(s) == float(signed(int(v), 64))


def test_between_float_widths() -> None:
    wide = f64_edges()
    with np.errstate(over="ignore"):
        nearest = wide.astype(np.float32)
    found = run_forms([f"cvt.{m}.f32.f64 %0, %1;" for m in ("rn", "rz", "rm", "rp")], "f32", [("f64", wide)])
    got, toward_zero, down, up = found.values()
    assert np.array_equal(got, nearest, equal_nan=True)
    for v, z, d, p in zip(wide, toward_zero, down, up, strict=True):
        if math.isnan(v) or math.isinf(v):
            continue
        assert float(d) <= v <= float(p)
        assert abs(float(z)) <= abs(v)
    narrow = f32_edges()
    exact = run_forms(["cvt.f64.f32 %0, %1;"], "f64", [("f32", narrow)])["cvt.f64.f32 %0, %1;"]
    assert np.array_equal(exact, narrow.astype(np.float64), equal_nan=True)
    whole = run_forms([f"cvt.{m}.f32.f32 %0, %1;" for m in ("rni", "rzi", "rmi", "rpi")], "f32", [("f32", narrow)])
    for got, meaning in zip(whole.values(), (np.rint, np.trunc, np.floor, np.ceil), strict=True):
        assert np.array_equal(got, meaning(narrow), equal_nan=True)


HALVES = np.arange(65536, dtype=np.uint16)


def test_every_half_converts_both_ways() -> None:
    found = run_forms(["cvt.f32.f16 %0, %1;"], "f32", [("u16", HALVES)])["cvt.f32.f16 %0, %1;"]
    assert np.array_equal(found, HALVES.view(np.float16).astype(np.float32), equal_nan=True)
    random = np.random.default_rng(5)
    x = (random.standard_normal(4096) * 10.0 ** random.integers(-9, 6, 4096)).astype(np.float32)
    x = np.concatenate([x, f32_edges(), np.float32([65519.99, 65520, 5.96e-8, 2.98e-8, 2.9e-8, 1.0004883, 1.0014648])])
    back = run_forms(["cvt.rn.f16.f32 %0, %1;"], "u16", [("f32", x)])["cvt.rn.f16.f32 %0, %1;"]
    with np.errstate(over="ignore"):
        assert np.array_equal(back.view(np.float16), x.astype(np.float16), equal_nan=True)


def bf16(values: np.ndarray) -> np.ndarray:
    """binary32 to bfloat16 bits through torch."""
    import torch

    return torch.from_numpy(values.copy()).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)


def test_bfloat16_rounds_as_torch_does() -> None:
    random = np.random.default_rng(6)
    x = np.concatenate(
        [(random.standard_normal(4096) * 10.0 ** random.integers(-40, 38, 4096)).astype(np.float32), f32_edges()]
    )
    got = run_forms(["cvt.rn.bf16.f32 %0, %1;"], "u16", [("f32", x)])["cvt.rn.bf16.f32 %0, %1;"]
    nan = np.isnan(x)
    assert np.array_equal(got[~nan], bf16(x)[~nan])
    assert ((got[nan] & 0x7FFF) > 0x7F80).all()


def test_half_arithmetic_rounds_once() -> None:
    random = np.random.default_rng(8)
    bits = random.integers(0, 65536, (3, 3000)).astype(np.uint16)
    a, b, c = (v.view(np.float16) for v in bits)
    forms = [
        "add.f16 %0, %1, %2;",
        "sub.f16 %0, %1, %2;",
        "mul.f16 %0, %1, %2;",
        "fma.rn.f16",
        "min.f16 %0, %1, %2;",
        "neg.f16 %0, %1;",
    ]
    found = run_forms(forms, "u16", [("u16", bits[0]), ("u16", bits[1]), ("u16", bits[2])])
    with np.errstate(all="ignore"):
        wanted = [a + b, a - b, a * b, None, np.fmin(a, b), -a]
    for form, exact in zip(forms, wanted, strict=True):
        got = found[form].view(np.float16)
        if exact is not None:
            same = (got == exact) | (np.isnan(got) & np.isnan(exact))
            assert same.all(), form
    # fma: longdouble holds the product exactly and the sum nearly so; exact ties decide with fractions.
    for x, y, z, got in zip(a, b, c, found["fma.rn.f16"].view(np.float16), strict=True):
        if not all(map(np.isfinite, (x, y, z))):
            continue
        exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
        if abs(exact) >= 65520:
            assert np.isinf(got)
            continue
        error = abs(Fraction(float(got)) - exact)
        with np.errstate(all="ignore"):
            for near in (np.nextafter(got, np.float16(np.inf)), np.nextafter(got, np.float16(-np.inf))):
                if np.isfinite(near):
                    assert error <= abs(Fraction(float(near)) - exact), (x, y, z, got)


def test_packed_halves() -> None:
    random = np.random.default_rng(9)
    a = random.standard_normal((2, 512)).astype(np.float16)
    b = random.standard_normal((2, 512)).astype(np.float16)

    def packed(values: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(values.T).view(np.uint32).ravel()

    found = run_forms(
        ["add.f16x2", "mul.f16x2", "fma.rn.f16x2 %0, %1, %2, %1;", "max.f16x2"],
        "u32",
        [("u32", packed(a)), ("u32", packed(b))],
    )
    exact = [a + b, a * b, (a.astype(np.float64) * b + a).astype(np.float16), np.fmax(a, b)]
    for (form, got), wanted in zip(found.items(), exact, strict=True):
        assert np.array_equal(got.view(np.float16).reshape(-1, 2).T, wanted), form
    x = random.standard_normal(512).astype(np.float32)
    y = random.standard_normal(512).astype(np.float32)
    both = run_forms(["cvt.rn.f16x2.f32"], "u32", [("f32", x), ("f32", y)])["cvt.rn.f16x2.f32"]
    assert np.array_equal(both.view(np.float16).reshape(-1, 2), np.stack([y, x], 1).astype(np.float16))


def test_tf32_rounds_in_three_ways_and_stays_finite_if_asked() -> None:
    x = np.concatenate([f32_edges(), np.random.default_rng(11).standard_normal(500).astype(np.float32)])
    bits = np.concatenate([x.view(np.uint32), np.array([0x3F801000, 0x3F803000, 0xBF801000, 0x7F7FFFFF], np.uint32)])
    forms = [
        "cvt.rna.tf32.f32",
        "cvt.rn.tf32.f32",
        "cvt.rz.tf32.f32",
        "cvt.rn.relu.tf32.f32",
        "cvt.rna.satfinite.tf32.f32",
    ]
    found = run_forms(forms, "u32", [("f32", bits.view(np.float32))], arch="sm_100")
    for i, word in enumerate(bits.tolist()):
        number = float(np.uint32(word).view(np.float32))
        if not math.isfinite(number):
            continue
        unit = Fraction(2) ** (max(word >> 23 & 255, 1) - 127 - 10)
        scaled = abs(Fraction(number)) / unit
        floor = scaled.numerator // scaled.denominator
        half = scaled - floor - Fraction(1, 2)
        away = floor + (half >= 0)
        even = floor + (half > 0 or (half == 0 and floor % 2 == 1))
        sign = -1 if math.copysign(1, number) < 0 else 1
        for form, whole in zip(forms[:3], (away, even, floor), strict=True):
            got = float(found[form][i].view(np.float32))
            wanted = sign * whole * unit
            assert math.isinf(got) if abs(wanted) >= 2**128 else Fraction(got) == wanted, (form, hex(word), got)
        got = float(found[forms[3]][i].view(np.float32))
        assert got == max(0.0, float(found[forms[1]][i].view(np.float32))), hex(word)
        assert math.isfinite(float(found[forms[4]][i].view(np.float32))), hex(word)
    infinite = bits.tolist().index(0x7F800000)
    assert found[forms[4]][infinite] == 0x7F7FE000


def test_satfinite_keeps_halves_finite() -> None:
    x = np.array([1e30, -1e30, np.inf, -np.inf, 1.5, np.nan], np.float32)
    half = run_forms(["cvt.rn.satfinite.f16.f32"], "u16", [("f32", x)], arch="sm_90")["cvt.rn.satfinite.f16.f32"]
    assert half[:5].tolist() == [0x7BFF, 0xFBFF, 0x7BFF, 0xFBFF, 0x3E00]
    assert np.isnan(half[5:].view(np.float16)).all()
    brain = run_forms(["cvt.rn.satfinite.bf16.f32"], "u16", [("f32", x)], arch="sm_90")["cvt.rn.satfinite.bf16.f32"]
    assert brain[2:5].tolist() == [0x7F7F, 0xFF7F, 0x3FC0]


def test_mixed_precision_is_refused_rather_than_misread() -> None:
    form = "{.reg .f32 d; add.rn.f32.f16 d, %1, %2; mov.b32 %0, d;}"
    with pytest.raises(UnsupportedError, match="add"):
        run_forms([form], "u32", [("u16", np.zeros(1, np.uint16)), ("f32", np.zeros(1, np.float32))], arch="sm_100")
