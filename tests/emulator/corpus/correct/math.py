"""Math functions in float32 and float64 against the same function in higher precision.

The bounds are those of the CUDA C++ Programming Guide (mathematical functions, maximum ulp error), with a little room where
the oracle itself is double precision.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from emulator.corpus.case import Array, Collection, Draw, Plan, blank, run
from emulator.corpus.oracles import go, kernel, of_torch, rows

cases = Collection()
case = cases.case
F = np.float32


@case(kernel("k", "float", "expf(x)", "exp2f(x)", "exp10f(x * 0.25f)", "expm1f(x)"))
def exponentials(draw: Draw) -> Plan:
    x, out = draw.uniform(-20, 20, 400), blank("f4", 4, 400)
    x[:5] = [0.0, -0.0, np.inf, -np.inf, 1e-8]
    w = x.astype("f8")
    with np.errstate(over="ignore"):
        want = rows(np.exp(w), np.exp2(w), 10.0 ** (F(0.25) * x).astype("f8"), np.expm1(w))
    return go("k", x, x, out).gives(out, want, rtol=4e-7, atol=1e-30)


@case(kernel("k", "float", "logf(x)", "log2f(x)", "log10f(x)", "log1pf(x)"))
def logarithms(draw: Draw) -> Plan:
    x, out = np.exp(draw.uniform(-60, 60, 400)).astype("f4"), blank("f4", 4, 400)
    x[:6] = [1.0, 0.0, np.inf, 1e-40, 0.99999994, 1.0000001]
    w = x.astype("f8")
    with np.errstate(divide="ignore"):
        want = rows(np.log(w), np.log2(w), np.log10(w), np.log1p(w))
    return go("k", x, x, out).gives(out, want, rtol=3e-7, atol=1e-9)


@case(kernel("k", "float", "sinf(x)", "cosf(x)", "tanf(y)", "sinpif(y)", "cospif(y)"))
def trigonometry(draw: Draw) -> Plan:
    x, y, out = draw.uniform(-100, 100, 500), draw.uniform(-1.5, 1.5, 500), blank("f4", 5, 500)
    x[:6] = [0.0, 1e5, 3e7, -1e20, 2e38, 1e-30]  # large arguments need exact reduction
    w, v = x.astype("f8"), y.astype("f8")
    want = rows(np.sin(w), np.cos(w), np.tan(v), np.sin(np.pi * v), np.cos(np.pi * v))
    return go("k", x, y, out).gives(out, want, rtol=5e-7, atol=3e-8)


@case("""
extern "C" __global__ void pairs(const float* x, float* s, float* c, double* ds, double* dc, int n) {
    int i = threadIdx.x;
    if (i < n) { sincosf(x[i], s + i, c + i); sincos((double)x[i], ds + i, dc + i); }
}
""")
def sincos(draw: Draw) -> Plan:
    x = draw.uniform(-1000, 1000, 100)
    s, c, ds, dc = blank("f4", 100), blank("f4", 100), blank("f8", 100), blank("f8", 100)
    w = x.astype("f8")
    plan = run("pairs", 1, 128, x, s, c, ds, dc, 100).gives(s, np.sin(w), atol=2e-7).gives(c, np.cos(w), atol=2e-7)
    return plan.gives(ds, np.sin(w), atol=1e-15).gives(dc, np.cos(w), atol=1e-15)


@case(
    kernel(
        "k",
        "float",
        "asinf(x)",
        "acosf(x)",
        "atanf(y)",
        "atan2f(y, x)",
        "sinhf(x)",
        "coshf(y)",
        "tanhf(y)",
        "asinhf(y)",
        "acoshf(1.0f + fabsf(y))",
        "atanhf(x)",
    )
)
def inverse_and_hyperbolic(draw: Draw) -> Plan:
    x, y, out = draw.uniform(-0.999, 0.999, 300), draw.uniform(-9, 9, 300), blank("f4", 10, 300)
    w, v = x.astype("f8"), y.astype("f8")
    plus = (F(1) + np.abs(y)).astype("f8")
    want = rows(
        np.arcsin(w),
        np.arccos(w),
        np.arctan(v),
        np.arctan2(v, w),
        np.sinh(w),
        np.cosh(v),
        np.tanh(v),
        np.arcsinh(v),
        np.arccosh(plus),
        np.arctanh(w),
    )
    return go("k", x, y, out).gives(out, want, rtol=6e-7, atol=1e-9)


@case(
    kernel(
        "k",
        "float",
        "powf(x, y)",
        "sqrtf(x)",
        "cbrtf(y)",
        "rsqrtf(x)",
        "hypotf(x, y)",
        "norm3df(x, y, 2.0f)",
        "rhypotf(x, y)",
        "x / y",
        "1.0f / x",
        "powf(-2.0f, truncf(y))",
    )
)
def powers_and_roots(draw: Draw) -> Plan:
    x, y, out = draw.uniform(0.01, 50, 300), draw.uniform(-8, 8, 300), blank("f4", 10, 300)
    w, v = x.astype("f8"), y.astype("f8")
    want = rows(
        w**v,
        np.sqrt(w),
        np.cbrt(v),
        1 / np.sqrt(w),
        np.hypot(w, v),
        np.sqrt(w * w + v * v + 4),
        1 / np.hypot(w, v),
        w / v,
        1 / w,
        (-2.0) ** np.trunc(v),
    )
    return go("k", x, y, out).gives(out, want, rtol=6e-7, atol=0)


@case(
    kernel(
        "k",
        "float",
        "erff(x)",
        "erfcf(x)",
        "erfinvf(y)",
        "lgammaf(fabsf(x) + 0.1f)",
        "tgammaf(fabsf(x) + 0.1f)",
        "normcdff(x)",
        "erfcxf(fabsf(x))",
        "normcdfinvf(0.5f + 0.4f * y)",
    )
)
def error_and_gamma(draw: Draw) -> Plan:
    x, y, out = draw.uniform(-4, 4, 300), draw.uniform(-0.99, 0.99, 300), blank("f4", 8, 300)
    z = (np.abs(x) + F(0.1)).astype("f4")
    p = (F(0.5) + (F(0.4) * y).astype("f8")).astype("f4")
    want = [
        of_torch("erf", x),
        of_torch("erfc", x),
        of_torch("erfinv", y),
        of_torch("gammaln", z),
        np.exp(of_torch("gammaln", z)),
    ]
    want += [of_torch("ndtr", x), of_torch("erfcx", np.abs(x)), of_torch("ndtri", p)]
    return go("k", x, y, out).gives(out, rows(*want), rtol=2e-6, atol=4e-7)


@case(
    kernel(
        "k",
        "float",
        "floorf(x)",
        "ceilf(x)",
        "truncf(x)",
        "rintf(x)",
        "nearbyintf(x)",
        "roundf(x)",
        "(float)lrintf(x)",
        "(float)llroundf(x)",
        "fmodf(x, y)",
        "remainderf(x, y)",
        "fdimf(x, y)",
        "fmaf(x, y, -x)",
        "copysignf(x, y)",
        "fabsf(x)",
    )
)
def rounding(draw: Draw) -> Plan:
    x, y, out = draw.uniform(-50, 50, 200), draw.uniform(-7, 7, 200), blank("f4", 14, 200)
    x[:8] = [0.5, 1.5, 2.5, -0.5, -1.5, -2.5, -0.0, 8388609.0]
    w, v = x.astype("f8"), y.astype("f8")
    away = np.copysign(np.floor(np.abs(w) + 0.5), w)
    ieee = np.array(
        [w_ - v_ * round(Fraction(w_) / Fraction(v_)) for w_, v_ in zip(w.tolist(), v.tolist(), strict=True)]
    )
    want = [np.floor(w), np.ceil(w), np.trunc(w), np.rint(w), np.rint(w), away, np.rint(w), away]
    want += [np.fmod(w, v), ieee, np.maximum(w - v, 0), w * v - w, np.copysign(w, v), np.abs(w)]
    return go("k", x, y, out).gives(out, rows(*want), rtol=6e-8, atol=1e-6)


@case("""
extern "C" __global__ void taken_apart(const float* x, const double* d, float* f, int* n, double* g) {
    int i = threadIdx.x, e, q;
    float whole;
    f[i * 6] = frexpf(x[i], &e);
    n[i * 5] = e;
    f[i * 6 + 1] = modff(x[i], &whole);
    f[i * 6 + 2] = whole;
    f[i * 6 + 3] = ldexpf(x[i], i - 30);
    f[i * 6 + 4] = logbf(x[i]);
    f[i * 6 + 5] = remquof(x[i], 3.0f, &q);
    n[i * 5 + 1] = q & 7;
    n[i * 5 + 2] = ilogbf(x[i]);
    n[i * 5 + 3] = (isnan(x[i]) != 0) | (isinf(x[i]) != 0) << 1 | (signbit(x[i]) != 0) << 2 | (isfinite(d[i]) != 0) << 3;
    g[i * 2] = frexp(d[i], &e);
    n[i * 5 + 4] = e;
    g[i * 2 + 1] = scalbn(d[i], -i) + logb(d[i]);
}
""")
def taken_apart(draw: Draw) -> Plan:
    x, d = draw.f32(64, scale=40), draw.f64(64, scale=1e100)
    f, n, g = blank("f4", 64, 6), blank("i4", 64, 5), blank("f8", 64, 2)
    w = x.astype("f8")
    i = np.arange(64)
    mantissa, exponent = np.frexp(w)
    quotient = np.array([round(Fraction(v) / 3) for v in w.tolist()])
    whole = np.trunc(w)
    parts = [mantissa, w - whole, whole, np.ldexp(w, i - 30), exponent - 1, w - 3.0 * quotient]
    dm, de = np.frexp(d)
    low = np.where(quotient < 0, -(np.abs(quotient) & 7), np.abs(quotient) & 7) & 7
    numbers = [exponent, low, exponent - 1, np.signbit(x) * 4 + 8, de]
    plan = run("taken_apart", 1, 64, x, d, f, n, g).gives(f, np.stack(parts, 1), ulps=1)
    plan.gives(n, np.stack(numbers, 1).astype("i4"))
    return plan.gives(g, np.stack([dm, np.ldexp(d, -i) + (de - 1)], 1), ulps=1)


@case(
    kernel(
        "k",
        "double",
        "exp(x)",
        "log(fabs(x) + 1e-3)",
        "sin(x)",
        "cos(x * 1e6)",
        "tanh(x)",
        "pow(fabs(x), y)",
        "sqrt(fabs(x))",
        "rsqrt(fabs(x) + 0.1)",
        "cbrt(x)",
        "atan2(y, x)",
        "x / y",
        "hypot(x, y)",
        "exp2(y)",
        "log1p(fabs(x))",
    )
)
def double_functions(draw: Draw) -> Plan:
    x, y, out = draw.f64(200, scale=5), draw.f64(200, scale=3), blank("f8", 14, 200)
    p = np.abs(x)
    want = [np.exp(x), np.log(p + 1e-3), np.sin(x), np.cos(x * 1e6), np.tanh(x), p**y, np.sqrt(p), 1 / np.sqrt(p + 0.1)]
    want += [np.cbrt(x), np.arctan2(y, x), x / y, np.hypot(x, y), np.exp2(y), np.log1p(p)]
    return go("k", x, y, out).gives(out, rows(*want), rtol=2e-15, atol=4e-16)


def bessel_j0(x: Array) -> Array:
    """The mean of cos(x sin t) over a period; the trapezoid rule converges faster than any power."""
    t = np.arange(256) * (2 * np.pi / 256)
    return np.cos(x[:, None] * np.sin(t)).mean(1)


@case(
    kernel(
        "k",
        "double",
        "erf(x)",
        "erfc(x)",
        "lgamma(fabs(x) + 0.2)",
        "tgamma(fabs(x) + 0.2)",
        "erfinv(y)",
        "normcdf(x)",
        "j0(x)",
        "asinh(x)",
        "acosh(1.0 + fabs(x))",
        "atanh(y)",
    )
)
def double_special_functions(draw: Draw) -> Plan:
    x, y, out = draw.f64(100, scale=2), draw.rng.uniform(-0.98, 0.98, 100), blank("f8", 10, 100)
    z = np.abs(x) + 0.2
    want = [
        of_torch("erf", x),
        of_torch("erfc", x),
        of_torch("gammaln", z),
        np.exp(of_torch("gammaln", z)),
        of_torch("erfinv", y),
    ]
    want += [of_torch("ndtr", x), bessel_j0(x), np.arcsinh(x), np.arccosh(1 + np.abs(x)), np.arctanh(y)]
    return go("k", x, y, out).gives(out, rows(*want), rtol=5e-14, atol=2e-15)


@case(
    kernel(
        "k",
        "float",
        "__expf(x)",
        "__logf(y)",
        "__sinf(x * 0.3f)",
        "__cosf(x * 0.3f)",
        "__powf(y, x * 0.2f)",
        "__fdividef(x, y)",
        "__exp10f(x * 0.3f)",
        "__log2f(y)",
        "__log10f(y)",
        "__saturatef(x)",
        "__frsqrt_rn(y)",
        "__tanf(x * 0.2f)",
    )
)
def fast_intrinsics(draw: Draw) -> Plan:
    x, y, out = draw.uniform(-5, 5, 300), draw.uniform(2, 40, 300), blank("f4", 12, 300)
    w, v = x.astype("f8"), y.astype("f8")
    want = [np.exp(w), np.log(v), np.sin(w * 0.3), np.cos(w * 0.3), v ** (w * 0.2), w / v, 10 ** (w * 0.3)]
    want += [np.log2(v), np.log10(v), np.clip(w, 0, 1), 1 / np.sqrt(v), np.tan(w * 0.2)]
    return go("k", x, y, out).gives(out, rows(*want), rtol=4e-6, atol=2e-6)


@case(
    kernel(
        "k",
        "float",
        "expf(x) / y",
        "sinf(x) * sqrtf(y)",
        "1.0f / (1.0f + expf(-x))",
        "logf(y) + x",
        "tanhf(x)",
        "powf(y, 0.5f)",
        "rsqrtf(y)",
    ),
    options=("--use_fast_math",),
)
def use_fast_math(draw: Draw) -> Plan:
    x, y, out = draw.uniform(-3, 3, 300), draw.uniform(1, 40, 300), blank("f4", 7, 300)
    w, v = x.astype("f8"), y.astype("f8")
    want = [
        np.exp(w) / v,
        np.sin(w) * np.sqrt(v),
        1 / (1 + np.exp(-w)),
        np.log(v) + w,
        np.tanh(w),
        np.sqrt(v),
        1 / np.sqrt(v),
    ]
    return go("k", x, y, out).gives(out, rows(*want), rtol=2e-5, atol=6e-4)
