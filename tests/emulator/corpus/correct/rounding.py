"""Rounding modes, conversions, special values and denormals of float32 and float64, exactly."""

from __future__ import annotations

from fractions import Fraction
from math import isfinite

import numpy as np
from emulator.corpus.case import Array, Collection, Draw, Plan, blank, run
from emulator.corpus.oracles import go, kernel, rows

cases = Collection()
case = cases.case
F = np.float32


def rounded(value: Fraction, mode: str) -> float:
    """`value` as the binary32 number that the IEEE rounding mode names (n, z, u, d); normal range only."""
    near = F(float(value))
    below = near if Fraction(float(near)) <= value else np.nextafter(near, F(-np.inf))
    above = below if Fraction(float(below)) == value else np.nextafter(below, F(np.inf))
    if mode == "d" or (mode == "z" and value > 0):
        return float(below)
    if mode == "u" or mode == "z":
        return float(above)
    low, high = value - Fraction(float(below)), Fraction(float(above)) - value
    even = below if int(F(below).view("u4")) % 2 == 0 else above
    return float(below if low < high else above if high < low else even)


MODES = ("n", "z", "u", "d")


@case(
    kernel(
        "k",
        "float",
        *(
            f"__{op}_r{m}({args})"
            for op, args in (
                ("fadd", "x, y"),
                ("fmul", "x, y"),
                ("fmaf", "x, y, -0.1f"),
                ("fdiv", "x, y"),
                ("fsub", "x, y"),
            )
            for m in MODES
        ),
    )
)
def rounding_modes_of_float(draw: Draw) -> Plan:
    x, y, out = draw.f32(150), draw.f32(150, scale=3), blank("f4", 20, 150)
    tenth = Fraction(float(F(-0.1)))
    want = []
    for op in ("add", "mul", "fma", "div", "sub"):
        for mode in MODES:
            row = []
            for p, q in zip(x.tolist(), y.tolist(), strict=True):
                a, b = Fraction(p), Fraction(q)
                exact = {"add": a + b, "mul": a * b, "fma": a * b + tenth, "div": a / b, "sub": a - b}[op]
                row.append(rounded(exact, mode))
            want.append(row)
    return go("k", x, y, out).gives(out, np.array(want), ulps=0)


@case(
    kernel(
        "k",
        "double",
        "__dadd_ru(x, y)",
        "__dadd_rd(x, y)",
        "__dmul_rz(x, y)",
        "__ddiv_rn(x, y)",
        "__fma_ru(x, y, 1.0)",
        "__fma_rd(x, y, 1.0)",
        "__dsqrt_rn(fabs(x))",
        "__drcp_rn(y)",
    )
)
def rounding_modes_of_double(draw: Draw) -> Plan:
    x, y, out = draw.f64(100), draw.f64(100), blank("f8", 8, 100)

    def directed(value: Fraction, up: bool) -> float:
        near = float(value)
        if up:
            return near if Fraction(near) >= value else float(np.nextafter(near, np.inf))
        return near if Fraction(near) <= value else float(np.nextafter(near, -np.inf))

    pairs = [(Fraction(p), Fraction(q)) for p, q in zip(x.tolist(), y.tolist(), strict=True)]
    want = [
        [directed(a + b, True) for a, b in pairs],
        [directed(a + b, False) for a, b in pairs],
        [directed(a * b, a * b < 0) for a, b in pairs],
        (x / y).tolist(),
        [directed(a * b + 1, True) for a, b in pairs],
        [directed(a * b + 1, False) for a, b in pairs],
        np.sqrt(np.abs(x)).tolist(),
        (1 / y).tolist(),
    ]
    return go("k", x, y, out).gives(out, np.array(want), ulps=0)


@case("""
extern "C" __global__ void to_integers(const float* x, const double* d, int* o, unsigned* u, long long* w) {
    int i = threadIdx.x;
    o[i * 5] = __float2int_rn(x[i]);
    o[i * 5 + 1] = __float2int_rz(x[i]);
    o[i * 5 + 2] = __float2int_ru(x[i]);
    o[i * 5 + 3] = __float2int_rd(x[i]);
    o[i * 5 + 4] = __double2int_rn(d[i]);
    u[i * 2] = __float2uint_rn(x[i]);
    u[i * 2 + 1] = (unsigned)d[i];
    w[i * 2] = __float2ll_rz(x[i]);
    w[i * 2 + 1] = __double2ll_rd(d[i]);
}
""")
def conversions_saturate(draw: Draw) -> Plan:
    x, d = draw.uniform(-100, 100, 64), draw.f64(64, scale=1000.0)
    x[:9] = [0.5, 1.5, -2.5, 3e9, -3e9, 5e9, np.inf, -np.inf, 2147483648.0]
    d[:5] = [1e12, -1e12, 4294967295.5, 0.5, -0.75]
    o, u, w = blank("i4", 64, 5), blank("u4", 64, 2), blank("i8", 64, 2)

    def clip(value: float, low: int, high: int) -> int:
        return int(value) if isfinite(value) and low <= value <= high else (high if value > 0 else low)

    small, large, natural = (-(2**31), 2**31 - 1), (-(2**63), 2**63 - 1), (0, 2**32 - 1)
    a, b = x.astype("f8").tolist(), d.tolist()
    ways = (np.rint, np.trunc, np.ceil, np.floor)
    ints = [
        [*(clip(float(f(p)), *small) for f in ways), clip(float(np.rint(q)), *small)] for p, q in zip(a, b, strict=True)
    ]
    unsigned = [
        [clip(float(np.rint(p)), *natural), clip(float(np.trunc(q)), *natural)] for p, q in zip(a, b, strict=True)
    ]
    longs = [[clip(float(np.trunc(p)), *large), clip(float(np.floor(q)), *large)] for p, q in zip(a, b, strict=True)]
    plan = run("to_integers", 1, 64, x, d, o, u, w).gives(o, np.array(ints, "i4"))
    return plan.gives(u, np.array(unsigned, "u4")).gives(w, np.array(longs, "i8"))


@case("""
extern "C" __global__ void from_integers(const int* a, const long long* b, const unsigned long long* c, float* f, double* d) {
    int i = threadIdx.x;
    f[i * 6] = (float)a[i];
    f[i * 6 + 1] = __int2float_rz(a[i]);
    f[i * 6 + 2] = __int2float_ru(a[i]);
    f[i * 6 + 3] = (float)b[i];
    f[i * 6 + 4] = __ull2float_rd(c[i]);
    f[i * 6 + 5] = __double2float_rd((double)a[i] / 3.0);
    d[i * 3] = (double)a[i];
    d[i * 3 + 1] = (double)b[i];
    d[i * 3 + 2] = (double)c[i];
}
""")
def conversions_to_floats(draw: Draw) -> Plan:
    a, b, c = draw.bits("i4", 64), draw.bits("i8", 64), draw.bits("u8", 64)
    f, d = blank("f4", 64, 6), blank("f8", 64, 3)
    want = [
        [rounded(Fraction(x), m) for m in "nzu"]
        + [rounded(Fraction(y), "n"), rounded(Fraction(z), "d"), rounded(Fraction(x / 3.0), "d")]
        for x, y, z in zip(a.tolist(), b.tolist(), c.tolist(), strict=True)
    ]
    plan = run("from_integers", 1, 64, a, b, c, f, d).gives(f, np.array(want), ulps=0)
    return plan.gives(d, np.stack([a.astype("f8"), b.astype("f8"), c.astype("f8")], 1), ulps=0)


@case(
    kernel(
        "k",
        "float",
        "fminf(x, y)",
        "fmaxf(x, y)",
        "x < y ? 1.0f : 0.0f",
        "x != y ? 1.0f : 0.0f",
        "!(x >= y) ? 1.0f : 0.0f",
        "x + y",
        "x > y ? 1.0f : 0.0f",
        "isnan(x) || isnan(y) ? 1.0f : 0.0f",
        "x == x ? y : 0.0f",
    )
)
def nan_infinity_and_zero(draw: Draw) -> Plan:
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.5, 1e-45, 3.4e38], "f4")
    x, y = np.repeat(special, 9), np.tile(special, 9)
    out = blank("f4", 9, 81)
    w, v = x.astype("f8"), y.astype("f8")
    with np.errstate(invalid="ignore", over="ignore"):
        unordered = np.isnan(w) | np.isnan(v)
        want = [
            np.fmin(w, v),
            np.fmax(w, v),
            w < v,
            w != v,
            ~(w >= v),
            (x + y).astype("f8"),
            w > v,
            unordered,
            np.where(np.isnan(w), 0, v),
        ]
    return go("k", x, y, out).gives(out, np.stack([np.asarray(r, "f8") for r in want]), ulps=0)


@case("""
extern "C" __global__ void exact(const float* a, const float* b, float* hi, float* lo, float* plain) {
    int i = threadIdx.x;
    float p = a[i] * b[i];
    hi[i] = p;
    lo[i] = fmaf(a[i], b[i], -p);                       // what rounding lost, exactly
    plain[i] = __fadd_rn(__fmul_rn(a[i], b[i]), 1.0f);  // must not be fused
}
""")
def fused_multiply_add_is_exact(draw: Draw) -> Plan:
    a, b = draw.f32(128), draw.f32(128)
    hi, lo, plain = blank("f4", 128), blank("f4", 128), blank("f4", 128)
    product = (a * b).astype("f4")
    plan = run("exact", 1, 128, a, b, hi, lo, plain).gives(hi, product, ulps=0)
    plan.gives(lo, a.astype("f8") * b - product, ulps=0)
    return plan.gives(plain, product + F(1), ulps=0)


@case(kernel("k", "float", "x * 0.5f", "x + y", "fmaf(x, 0.25f, y)", "x / 4.0f"), options=("--ftz=true",))
def denormals_flushed(draw: Draw) -> Plan:
    x, y, out = (draw.f32(96) * F(1e-38)).astype("f4"), (draw.f32(96) * F(1e-38)).astype("f4"), blank("f4", 4, 96)
    tiny = np.finfo("f4").tiny

    def flush(v: Array) -> Array:
        return np.where(np.abs(v) < tiny, 0.0, v)

    w, v = flush(x.astype("f8")), flush(y.astype("f8"))
    want = rows(flush(w * 0.5), flush(w + v), flush(w * 0.25 + v), flush(w / 4))
    return go("k", x, y, out).gives(out, want, rtol=1e-6, atol=0)


@case(kernel("k", "float", "x * 0.5f", "x + y", "nextafterf(x, y)", "sqrtf(fabsf(x))", "y - 0.5f * y"))
def denormals_kept(draw: Draw) -> Plan:
    x, y, out = (draw.f32(96) * F(1e-40)).astype("f4"), (draw.f32(96) * F(1e-38)).astype("f4"), blank("f4", 5, 96)
    w, v = x.astype("f8"), y.astype("f8")
    want = rows(
        (w * 0.5).astype("f4"),
        (w + v).astype("f4"),
        np.nextafter(x, y),
        np.sqrt(np.abs(w)).astype("f4"),
        (y - (v * 0.5).astype("f4")),
    )
    return go("k", x, y, out).gives(out, want, rtol=1e-7, atol=1.5e-45)
