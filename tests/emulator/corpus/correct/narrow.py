"""Half, bfloat16, fp8 and fp4: arithmetic, packed forms, conversions with their roundings, special values."""

from __future__ import annotations

import numpy as np
import torch
from emulator.corpus.case import Array, Collection, Draw, Plan, blank, from_bf16, run, to_bf16

cases = Collection()
case = cases.case
F = np.float32
BF16_EPS = 2.0**-7


def codes(kind: torch.dtype) -> Array:
    """The float64 value of each of the 256 codes of an 8-bit float."""
    return torch.arange(256, dtype=torch.uint8).view(kind).to(torch.float64).numpy()


def bf16_close(plan: Plan, out: Array, want: Array, ulps: float = 0.51) -> Plan:
    """Within so many units of bfloat16's precision (2^-7 relative)."""
    return plan.gives(out, want, rtol=ulps * BF16_EPS, atol=1e-30, decode=from_bf16)


@case("""
#include <cuda_fp16.h>
extern "C" __global__ void half_ops(const __half* a, const __half* b, __half* o) {
    int i = threadIdx.x, n = blockDim.x;
    __half x = a[i], y = b[i];
    o[i] = __hadd(x, y);
    o[i + n] = __hsub(x, y);
    o[i + 2 * n] = __hmul(x, y);
    o[i + 3 * n] = __hfma(x, y, x);
    o[i + 4 * n] = __hdiv(x, y);
    o[i + 5 * n] = __hneg(x);
    o[i + 6 * n] = __habs(x);
    o[i + 7 * n] = x * y + __float2half(1.5f) - y;
    o[i + 8 * n] = __hadd_sat(x, y);
    o[i + 9 * n] = __hfma_relu(x, y, y);
}
""")
def half_arithmetic(draw: Draw) -> Plan:
    a, b, out = draw.f16(256), draw.f16(256), blank("f2", 10, 256)
    x, y = a.astype("f8"), b.astype("f8")

    def h(v: Array) -> Array:
        return v.astype("f2").astype("f8")

    # the compiler may fuse x * y + 1.5, so that one is allowed an ulp of its largest term
    want = [h(x + y), h(x - y), h(x * y), h(x * y + x), h(x / y), -x, np.abs(x), h(h(x * y + 1.5) - y)]
    want += [np.clip(h(x + y), 0, 1), np.maximum(h(x * y + y), 0)]
    plan = run("half_ops", 1, 256, a, b, out)
    plan.gives(out, np.stack(want[:7]), ulps=0, decode=lambda o: o[:7])
    plan.gives(out, want[7], rtol=0.002, atol=0.02, decode=lambda o: o[7])
    return plan.gives(out, np.stack(want[8:]), ulps=0, decode=lambda o: o[8:])


@case(
    """
#include <cuda_fp16.h>
extern "C" __global__ void packed(const __half2* a, const __half2* b, __half2* o, float2* wide, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    __half2 x = a[i], y = b[i];
    o[i] = __hfma2(x, y, __float2half2_rn(0.5f));
    o[i + n] = __hadd2(x, __lowhigh2highlow(y));
    o[i + 2 * n] = __hmul2(__low2half2(x), __high2half2(y));
    o[i + 3 * n] = __hmax2(x, y);
    o[i + 4 * n] = __halves2half2(__high2half(x), __low2half(y));
    o[i + 5 * n] = __hlt2(x, y);
    wide[i] = __half22float2(__hsub2(x, y));
}
""",
    archs=("sm_80", "sm_90", "sm_100"),
)
def half2_arithmetic(draw: Draw) -> Plan:
    n = 100
    a, b, out, wide = draw.f16(n, 2), draw.f16(n, 2), blank("f2", 6, n, 2), blank("f4", n, 2)
    x, y = a.astype("f8"), b.astype("f8")

    def h(v: Array) -> Array:
        return v.astype("f2").astype("f8")

    want = [h(x * y + 0.5), h(x + y[:, ::-1]), h(x[:, :1] * y[:, 1:]).repeat(2, 1), np.maximum(x, y)]
    want += [np.stack([x[:, 1], y[:, 0]], 1), (x < y).astype("f8")]
    return run("packed", 1, 128, a, b, out, wide, n).gives(out, np.stack(want), ulps=0).gives(wide, h(x - y), ulps=0)


@case("""
#include <cuda_fp16.h>
extern "C" __global__ void compare(const __half* a, const __half* b, int* o, __half* m) {
    int i = threadIdx.x, n = blockDim.x;
    __half x = a[i], y = b[i];
    o[i] = __heq(x, y) | __hlt(x, y) << 1 | __hge(x, y) << 2 | __hne(x, y) << 3 | __hisnan(x) << 4 | (__hisinf(x) != 0) << 5
         | __hltu(x, y) << 6 | (x > y) << 7;
    m[i] = __hmin(x, y);
    m[i + n] = __hmax(x, y);
    m[i + 2 * n] = __hmin_nan(x, y);
    m[i + 3 * n] = __hmax_nan(x, y);
}
""")
def half_comparisons_and_nan(draw: Draw) -> Plan:
    special = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1, -2, 6e-8, 65504], "f2")
    a, b = np.repeat(special, 9), np.tile(special, 9)
    o, m = blank("i4", 81), blank("f2", 4, 81)
    with np.errstate(invalid="ignore"):
        un = np.isnan(a) | np.isnan(b)
        lt = a < b
        bits = (a == b) | lt << 1 | (a >= b) << 2 | ((a != b) & ~un) << 3 | np.isnan(a) << 4 | np.isinf(a) << 5
        bits = bits | (lt | un) << 6 | (a > b) << 7
        want = [np.fmin(a, b), np.fmax(a, b), np.minimum(a, b), np.maximum(a, b)]
    return run("compare", 1, 81, a, b, o, m).gives(o, bits.astype("i4")).gives(m, np.stack(want), ulps=0)


@case("""
#include <cuda_fp16.h>
extern "C" __global__ void convert(const float* x, const int* k, __half* o, int* ints, float* back) {
    int i = threadIdx.x, n = blockDim.x;
    o[i] = __float2half_rn(x[i]);
    o[i + n] = __float2half_rz(x[i]);
    o[i + 2 * n] = __float2half_ru(x[i]);
    o[i + 3 * n] = __float2half_rd(x[i]);
    o[i + 4 * n] = __int2half_rn(k[i]);
    o[i + 5 * n] = __double2half((double)x[i] / 3.0);
    ints[i] = __half2int_rn(o[i]);
    ints[i + n] = __half2short_rz(o[i]);
    back[i] = __half2float(o[i]);
}
""")
def half_conversions(draw: Draw) -> Plan:
    x, k = draw.f32(128, scale=30), draw.ints("i4", -5000, 5000, 128)
    x[:8] = [65519.0, 65520.0, 1e-8, 3e-8, -70000.0, 6.1e-5, 0.0, -0.0]
    o, ints, back = blank("f2", 6, 128), blank("i4", 2, 128), blank("f4", 128)
    with np.errstate(over="ignore"):
        near = x.astype("f2")
        w, v = x.astype("f8"), near.astype("f8")
        below = np.where(v <= w, near, np.nextafter(near, np.float16(-np.inf)))
        above = np.where(v >= w, near, np.nextafter(near, np.float16(np.inf)))
        zero = np.where(w > 0, below, above)
        want = [near, zero, above, below, k.astype("f2"), (w / 3).astype("f2")]
    short = np.clip(np.trunc(np.where(np.isinf(v), np.sign(v) * 1e6, v)), -32768, 32767)
    whole = np.clip(np.rint(np.where(np.isinf(v), np.sign(v) * 1e10, v)), -(2**31), 2**31 - 1)
    plan = run("convert", 1, 128, x, k, o, ints, back).gives(o, np.stack(want), ulps=0)
    return plan.gives(ints, np.stack([whole, short]).astype("i4")).gives(back, v, ulps=0)


@case(
    """
#include <cuda_fp16.h>
extern "C" __global__ void functions(const __half* a, __half* o) {
    int i = threadIdx.x, n = blockDim.x;
    __half x = a[i], p = __habs(x);
    o[i] = hexp(x);
    o[i + n] = hlog(p);
    o[i + 2 * n] = hsqrt(p);
    o[i + 3 * n] = hrsqrt(p);
    o[i + 4 * n] = hrcp(p);
    o[i + 5 * n] = hsin(x);
    o[i + 6 * n] = hcos(x);
    o[i + 7 * n] = htanh(x);
    o[i + 8 * n] = hfloor(x);
    o[i + 9 * n] = hrint(x);
    o[i + 10 * n] = hexp2(x);
    o[i + 11 * n] = __low2half(h2exp(__half2half2(x)));
}
""",
    archs=("sm_80", "sm_90"),
)
def half_functions(draw: Draw) -> Plan:
    a, out = draw.f16(128, scale=2), blank("f2", 12, 128)
    a[np.abs(a) < 0.01] = 0.5
    x = a.astype("f8")
    p = np.abs(x)
    want = [
        np.exp(x),
        np.log(p),
        np.sqrt(p),
        1 / np.sqrt(p),
        1 / p,
        np.sin(x),
        np.cos(x),
        np.tanh(x),
        np.floor(x),
        np.rint(x),
    ]
    want += [np.exp2(x), np.exp(x)]
    return run("functions", 1, 128, a, out).gives(out, np.stack(want), rtol=2.0**-9, atol=2.0**-11)


@case(
    """
#include <cuda_bf16.h>
extern "C" __global__ void bf16_ops(const __nv_bfloat16* a, const __nv_bfloat16* b, __nv_bfloat16* o) {
    int i = threadIdx.x, n = blockDim.x;
    __nv_bfloat16 x = a[i], y = b[i];
    o[i] = __hadd(x, y);
    o[i + n] = __hsub(x, y);
    o[i + 2 * n] = __hmul(x, y);
    o[i + 3 * n] = __hfma(x, y, x);
    o[i + 4 * n] = __hmax(x, y);
    o[i + 5 * n] = __hneg(__habs(x));
    o[i + 6 * n] = x / y;
    o[i + 7 * n] = hexp(x);
}
""",
    archs=("sm_80", "sm_90", "sm_100"),
)
def bfloat16_arithmetic(draw: Draw) -> Plan:
    a, b, out = draw.bf16(256), draw.bf16(256), blank("u2", 8, 256)
    x, y = from_bf16(a), from_bf16(b)
    exact = [x + y, x - y, x * y, x * y + x, np.maximum(x, y), -np.abs(x)]
    plan = run("bf16_ops", 1, 256, a, b, out)
    plan.gives(out, np.stack([from_bf16(to_bf16(v)) for v in exact]), decode=lambda o: from_bf16(o[:6]))
    want = np.stack([x / y, np.exp(x)])
    return plan.gives(out, want, rtol=1.01 * BF16_EPS, atol=0, decode=lambda o: from_bf16(o[6:]))


@case(
    """
#include <cuda_bf16.h>
extern "C" __global__ void packed(const __nv_bfloat162* a, const __nv_bfloat162* b, __nv_bfloat162* o, float2* f, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    o[i] = __hfma2(a[i], b[i], a[i]);
    o[i + n] = __hmul2(a[i], b[i]);
    o[i + 2 * n] = __floats2bfloat162_rn(i * 0.37f, -1.0f / (i + 1));
    o[i + 3 * n] = __hadd2(a[i], __bfloat162bfloat162(__high2bfloat16(b[i])));
    f[i] = __bfloat1622float2(a[i]);
}
""",
    archs=("sm_80", "sm_90"),
)
def bfloat16_packed(draw: Draw) -> Plan:
    n = 100
    a, b, out, f = draw.bf16(n, 2), draw.bf16(n, 2), blank("u2", 4, n, 2), blank("f4", n, 2)
    x, y = from_bf16(a), from_bf16(b)
    i = np.arange(n, dtype="f4")
    made = np.stack([i * F(0.37), F(-1) / (i + F(1))], 1)
    want = [to_bf16(x * y + x), to_bf16(x * y), to_bf16(made), to_bf16(x + y[:, 1:])]
    return run("packed", 1, 128, a, b, out, f, n).gives(out, np.stack(want)).gives(f, x, ulps=0)


@case("""
#include <cuda_bf16.h>
extern "C" __global__ void convert(const float* x, __nv_bfloat16* o, int* ints) {
    int i = threadIdx.x, n = blockDim.x;
    o[i] = __float2bfloat16(x[i]);
    o[i + n] = __float2bfloat16_rz(x[i]);
    o[i + 2 * n] = __float2bfloat16_ru(x[i]);
    o[i + 3 * n] = __float2bfloat16_rd(x[i]);
    ints[i] = __bfloat162int_rz(o[i]);
}
""")
def bfloat16_conversions(draw: Draw) -> Plan:
    x, o, ints = draw.f32(128, scale=1000), blank("u2", 4, 128), blank("i4", 128)
    bits = x.view("u4")
    down = (bits >> np.uint32(16)).astype("u2")  # towards zero
    up = np.where((bits & np.uint32(0xFFFF)) != 0, down + np.uint16(1), down).astype("u2")  # away from zero
    want = [to_bf16(x), down, np.where(x > 0, up, down), np.where(x > 0, down, up)]
    plan = run("convert", 1, 128, x, o, ints).gives(o, np.stack(want))
    return plan.gives(ints, np.trunc(from_bf16(want[0])).astype("i4"))


FP8 = """
#include <cuda_fp8.h>
extern "C" __global__ void decode(float* e4, float* e5) {
    int i = threadIdx.x;
    __nv_fp8_e4m3 a; a.__x = i;
    __nv_fp8_e5m2 b; b.__x = i;
    e4[i] = (float)a;
    e5[i] = (float)b;
}
extern "C" __global__ void encode(const float* x, unsigned char* e4, unsigned char* e5, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) { e4[i] = __nv_fp8_e4m3(x[i]).__x; e5[i] = __nv_fp8_e5m2(x[i]).__x; }
}
"""


@case(FP8, archs=("sm_80", "sm_90", "sm_100"))
def fp8_conversions(draw: Draw) -> Plan:
    x = np.concatenate(
        [draw.f32(200, scale=3), draw.f32(100, scale=1000), np.array([0, -0.0, 448, 449, 1e6, -1e6, 2e-3, 1e-9], "f4")]
    )
    a, b, e4, e5 = blank("f4", 256), blank("f4", 256), blank("u1", x.size), blank("u1", x.size)

    def nearest(kind: torch.dtype, largest: float) -> Array:
        clipped = torch.from_numpy(np.clip(x, -largest, largest))  # the CUDA types saturate to the largest finite value
        return clipped.to(kind).view(torch.uint8).numpy()

    plan = run("decode", 1, 256, a, b).then("encode", 3, 128, x, e4, e5, x.size)
    plan.gives(a, codes(torch.float8_e4m3fn), ulps=0).gives(b, codes(torch.float8_e5m2), ulps=0)
    return plan.gives(e4, nearest(torch.float8_e4m3fn, 448.0)).gives(e5, nearest(torch.float8_e5m2, 57344.0))


@case(
    """
#include <cuda_fp8.h>
extern "C" __global__ void scaled(const __nv_fp8x4_e4m3* a, const __nv_fp8x2_e5m2* b, float* o, __nv_fp8x2_e4m3* back, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float4 x = (float4)a[i];
    float2 lo = (float2)b[2 * i], hi = (float2)b[2 * i + 1];
    o[i] = x.x * lo.x + x.y * lo.y + x.z * hi.x + x.w * hi.y;
    back[i] = __nv_fp8x2_e4m3(make_float2(x.x * 0.5f, x.w * 0.5f));
}
""",
    archs=("sm_89", "sm_90"),
)
def fp8_packed(draw: Draw) -> Plan:
    n = 80
    a, b = draw.bits("u1", n, 4) & np.uint8(0xBF), draw.bits("u1", n, 4) & np.uint8(0xBF)
    out, back = blank("f4", n), blank("u1", n, 2)
    x, y = codes(torch.float8_e4m3fn)[a], codes(torch.float8_e5m2)[b]
    halves = torch.from_numpy((x[:, [0, 3]] * 0.5).astype("f4")).to(torch.float8_e4m3fn).view(torch.uint8).numpy()
    return run("scaled", 1, 96, a, b, out, back, n).gives(out, (x * y).sum(1)).gives(back, halves)


@case(
    """
#include <cuda_fp4.h>
extern "C" __global__ void fp4(float* decoded, const float2* x, unsigned char* packed) {
    int i = threadIdx.x;
    if (i < 16) { __nv_fp4_e2m1 v; v.__x = i; decoded[i] = (float)v; }
    packed[i] = __nv_fp4x2_e2m1(x[i]).__x;
}
""",
    archs=("sm_90",),
)
def fp4_conversions(draw: Draw) -> Plan:
    table = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    values = np.concatenate([table, -table])
    x, decoded, packed = draw.f32(64, 2, scale=3), blank("f4", 16), blank("u1", 64)

    def encode(v: float) -> int:
        distance = np.abs(table - min(abs(v), 6.0))
        best = [int(k) for k in np.flatnonzero(distance == distance.min())]
        return (best[0] if len(best) == 1 else next(k for k in best if k % 2 == 0)) | (8 if np.signbit(v) else 0)

    want = np.array([encode(p) | encode(q) << 4 for p, q in x.tolist()], "u1")
    return run("fp4", 1, 64, decoded, x, packed).gives(decoded, values, ulps=0).gives(packed, want)


@case("""
#include <cuda_fp16.h>
extern "C" __global__ void softmax(const __half* x, __half* y, int width) {
    const __half* row = x + blockIdx.x * width;
    float m = -65504.0f, s = 0.0f;
    for (int i = threadIdx.x; i < width; i += 32) m = fmaxf(m, __half2float(row[i]));
    for (int o = 16; o; o >>= 1) m = fmaxf(m, __shfl_xor_sync(~0u, m, o));
    for (int i = threadIdx.x; i < width; i += 32) s += __expf(__half2float(row[i]) - m);
    for (int o = 16; o; o >>= 1) s += __shfl_xor_sync(~0u, s, o);
    for (int i = threadIdx.x; i < width; i += 32) y[blockIdx.x * width + i] = __float2half(__expf(__half2float(row[i]) - m) / s);
}
""")
def half_softmax(draw: Draw) -> Plan:
    x, y = draw.f16(6, 75, scale=3), blank("f2", 6, 75)
    w = np.exp(x.astype("f8") - x.max(1, keepdims=True).astype("f8"))
    return run("softmax", 6, 32, x, y, 75).gives(y, w / w.sum(1, keepdims=True), rtol=1.1e-3, atol=6e-8)


@case("""
#include <cuda_bf16.h>
// Eight values a load.
extern "C" __global__ void rms_norm(const uint4* x, const uint4* weight, uint4* y, int octets, float eps) {
    __shared__ float part[4];
    float ss = 0.0f;
    const uint4* row = x + blockIdx.x * octets;
    for (int i = threadIdx.x; i < octets; i += blockDim.x) {
        uint4 raw = row[i];
        const __nv_bfloat162* v = reinterpret_cast<const __nv_bfloat162*>(&raw);
#pragma unroll
        for (int k = 0; k < 4; ++k) { float2 f = __bfloat1622float2(v[k]); ss += f.x * f.x + f.y * f.y; }
    }
    for (int o = 16; o; o >>= 1) ss += __shfl_xor_sync(~0u, ss, o);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = ss;
    __syncthreads();
    float total = 0.0f;
    for (int w = 0; w < blockDim.x / 32; ++w) total += part[w];
    float scale = rsqrtf(total / (octets * 8) + eps);
    for (int i = threadIdx.x; i < octets; i += blockDim.x) {
        uint4 raw = row[i], wide = weight[i], out;
        const __nv_bfloat162* v = reinterpret_cast<const __nv_bfloat162*>(&raw);
        const __nv_bfloat162* g = reinterpret_cast<const __nv_bfloat162*>(&wide);
        __nv_bfloat162* o = reinterpret_cast<__nv_bfloat162*>(&out);
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            float2 f = __bfloat1622float2(v[k]), h = __bfloat1622float2(g[k]);
            o[k] = __floats2bfloat162_rn(f.x * scale * h.x, f.y * scale * h.y);
        }
        y[blockIdx.x * octets + i] = out;
    }
}
""")
def bfloat16_rms_norm(draw: Draw) -> Plan:
    x, w, y = draw.bf16(4, 200), draw.bf16(200), blank("u2", 4, 200)
    v = from_bf16(x)
    want = v / np.sqrt((v * v).mean(1, keepdims=True) + 1e-5) * from_bf16(w)
    return bf16_close(run("rms_norm", 4, 64, x, w, y, 25, F(1e-5)), y, want)


@case(
    """
#include <cuda_fp16.h>
#include <cuda_bf16.h>
template <class T> struct Number { static __device__ float in(T v) { return (float)v; } static __device__ T out(float v) { return (T)v; } };
template <class T> __global__ void gelu(const T* x, T* y, int n) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x) {
        float v = Number<T>::in(x[i]);
        y[i] = Number<T>::out(0.5f * v * (1.0f + erff(v * 0.70710678f)));
    }
}
""",
    expressions=("gelu<__half>", "gelu<__nv_bfloat16>", "gelu<float>"),
)
def one_template_for_three_types(draw: Draw) -> Plan:
    h, b, f = draw.f16(150), draw.bf16(150), draw.f32(150)
    oh, ob, of = blank("f2", 150), blank("u2", 150), blank("f4", 150)

    def gelu(v: Array) -> Array:
        return torch.nn.functional.gelu(torch.from_numpy(v.astype("f8"))).numpy()

    plan = (
        run("gelu<__half>", 2, 64, h, oh, 150)
        .then("gelu<__nv_bfloat16>", 2, 64, b, ob, 150)
        .then("gelu<float>", 2, 64, f, of, 150)
    )
    plan.gives(oh, gelu(h), rtol=2.0**-10, atol=1e-7).gives(of, gelu(f), rtol=2e-6, atol=2e-7)
    return plan.gives(ob, gelu(from_bf16(b)), rtol=0.51 * BF16_EPS, atol=1e-7, decode=from_bf16)
