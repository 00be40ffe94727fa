"""CUDA's functions of single, double and half precision against NumPy in binary64."""

from __future__ import annotations

import numpy as np
from emulator_kernels import RANDOM, N, close, normal, run

MATH = {
    "sinf": np.sin, "cosf": np.cos, "tanf": np.tan, "expf": np.exp, "exp2f": np.exp2, "expm1f": np.expm1, "tanhf": np.tanh,
    "erff": np.vectorize(__import__("math").erf), "sinhf": np.sinh, "atanf": np.arctan, "cbrtf": np.cbrt, "floorf": np.floor,
    "rintf": np.rint, "fabsf": np.abs,
}  # fmt: skip
POSITIVE = {
    "logf": np.log,
    "log2f": np.log2,
    "log10f": np.log10,
    "log1pf": np.log1p,
    "sqrtf": np.sqrt,
    "rsqrtf": lambda x: x**-0.5,
}


def test_the_float_math_library() -> None:
    """CUDA promises 1 to 4 ulp for these; 6 are allowed."""
    x = np.concatenate([normal(500) * 3, [0.0, 1e-20, -1e-6, 80.0, -80.0, 1e-38]]).astype(np.float32)
    for functions, values in ((MATH, x), (POSITIVE, np.abs(x) + np.float32(1e-30))):
        body = "".join(f"out[{k} * n + i] = {name}(x[i]);" for k, name in enumerate(functions))
        source = f'extern "C" __global__ void f(const float* x, float* out, int n) {{ int i = blockIdx.x * 128 + threadIdx.x; if (i < n) {{ {body} }} }}'
        out = np.zeros((len(functions), values.size), np.float32)
        run(source, "f", -(-values.size // 128), 128, (values, out, N(values.size)))
        for (name, meaning), got in zip(functions.items(), out, strict=True):
            with np.errstate(over="ignore"):
                exact = meaning(values.astype(np.float64))
                unit = np.spacing(np.maximum(np.abs(exact), 1e-37).astype(np.float32)).astype(np.float64)
            finite = np.abs(exact) < 3e38
            error = np.abs(got.astype(np.float64) - exact)[finite] / unit[finite]
            assert error.max() <= 6, (name, values[finite][error.argmax()], error.max())


def test_the_double_math_library() -> None:
    import math

    functions = {"sin": math.sin, "cos": math.cos, "exp": lambda v: math.exp(v) if v < 700 else math.inf, "log": lambda v: math.log(abs(v)), "tanh": math.tanh, "erf": math.erf,
                 "cbrt": lambda v: math.copysign(abs(v) ** (1 / 3), v), "pow": lambda v: abs(v) ** 2.7}  # fmt: skip
    calls = {"log": "log(fabs(x[i]))", "pow": "pow(fabs(x[i]), 2.7)"}
    body = "".join(f"out[{k} * n + i] = {calls.get(f, f + '(x[i])')};" for k, f in enumerate(functions))
    source = f'extern "C" __global__ void f(const double* x, double* out, int n) {{ int i = threadIdx.x; if (i < n) {{ {body} }} }}'
    x = np.concatenate([RANDOM.standard_normal(60) * 4, [1e6, -1e5, 1e-9, 30.0]])
    out = np.zeros((len(functions), x.size))
    run(source, "f", 1, 64, (x, out, N(x.size)))
    for (name, meaning), got in zip(functions.items(), out, strict=True):
        exact = np.array([meaning(float(v)) for v in x])
        assert np.allclose(got, exact, rtol=1e-13, atol=1e-300), name


def test_half_kernel() -> None:
    source = r"""#include <cuda_fp16.h>
    #include <cuda_bf16.h>
    extern "C" __global__ void f(const __half2* x, __half2* y, const __nv_bfloat16* p, __nv_bfloat16* q, float* s) {
      int i = threadIdx.x; __half2 v = x[i]; y[i] = __hfma2(v, v, __float2half2_rn(0.5f));
      q[i] = __float2bfloat16(__bfloat162float(p[i]) * 1.5f);
      float t = __low2float(v) + __high2float(v); for (int o = 16; o; o >>= 1) t += __shfl_down_sync(~0u, t, o); if (!i) *s = t; }"""
    x = RANDOM.standard_normal((32, 2)).astype(np.float16)
    y, s = np.zeros_like(x), np.zeros(1, np.float32)
    p = (normal(32).view(np.uint32) >> 16).astype(np.uint16)
    q = np.zeros_like(p)
    run(source, "f", 1, 32, (x, y, p, q, s))
    assert np.array_equal(y, (x.astype(np.float64) ** 2 + 0.5).astype(np.float16))
    back = (q.astype(np.uint32) << 16).view(np.float32)
    source_values = (p.astype(np.uint32) << 16).view(np.float32)
    assert np.allclose(back, source_values * 1.5, rtol=2**-8)
    close(s, np.array([x.astype(np.float64).sum()]), 1e-6)


def test_fast_math_is_honoured() -> None:
    source = r"""extern "C" __global__ void f(const float* x, float* y) { int i = threadIdx.x; y[i] = expf(x[i]) / x[i] + sinf(x[i]) + x[i] * 1e-30f; }"""
    x = np.full(32, 1e-39, np.float32)
    y = np.zeros(32, np.float32)
    run(source, "f", 1, 32, (x, y), options=("--use_fast_math",))
    assert np.isinf(y).all()  # the subnormal divisor is flushed
    x = normal(32)
    run(source, "f", 1, 32, (x, y), options=("--use_fast_math",))
    wide = x.astype(np.float64)
    close(y, np.exp(wide) / wide + np.sin(wide), 1e-5)
