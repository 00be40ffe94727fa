"""Misaligned accesses (10)."""

from __future__ import annotations

import numpy as np
from emulator.corpus.case import Collection, Draw, Plan, blank, run

cases = Collection()
defect = cases.defect
F = np.float32
KIND = "misaligned"


@defect(
    KIND,
    """
extern "C" __global__ void sum4(const float* x, float* y, int skip) {
    const float* from = x + skip;
    int i = threadIdx.x;
#ifdef FIXED
    float4 v = make_float4(from[i * 4], from[i * 4 + 1], from[i * 4 + 2], from[i * 4 + 3]);
#else
    float4 v = reinterpret_cast<const float4*>(from)[i];  // DEFECT misaligned
#endif
    y[i] = v.x + v.y + v.z + v.w;
}
""",
)
def float4_from_an_odd_offset(draw: Draw) -> Plan:
    x, y = draw.f32(129), blank("f4", 32)
    return run("sum4", 1, 32, x, y, 1).gives(y, x[1:].reshape(32, 4).astype("f8").sum(1))


@defect(
    KIND,
    """
extern "C" __global__ void words(const unsigned char* x, unsigned* y) {
    int i = threadIdx.x;
#ifdef FIXED
    unsigned v;
    memcpy(&v, x + 3 * i + 1, 4);
#else
    unsigned v = *(const unsigned*)(x + 3 * i + 1);  // DEFECT misaligned
#endif
    y[i] = v;
}
""",
)
def int_from_any_byte(draw: Draw) -> Plan:
    x, y = draw.bits("u1", 100), blank("u4", 32)
    want = np.array([int.from_bytes(x[3 * i + 1 : 3 * i + 5].tobytes(), "little") for i in range(32)], "u4")
    return run("words", 1, 32, x, y).gives(y, want)


@defect(
    KIND,
    """
extern "C" __global__ void pairs(const float* x, double* y, int at) {
    int i = threadIdx.x;
#ifdef FIXED
    double v = __hiloint2double(__float_as_int(x[2 * i + at + 1]), __float_as_int(x[2 * i + at]));
#else
    double v = *reinterpret_cast<const double*>(x + 2 * i + at);  // DEFECT misaligned
#endif
    y[i] = v;
}
""",
)
def double_at_an_odd_float(draw: Draw) -> Plan:
    x, y = draw.f32(65), blank("f8", 32)
    return run("pairs", 1, 32, x, y, 1).gives(y, x[1:].view("f8"), ulps=0)


@defect(
    KIND,
    """
#ifdef FIXED
#define STRIDE 20
#else
#define STRIDE 17
#endif
extern "C" __global__ void rows(const float4* x, float* y) {
    __shared__ __align__(16) float s[32][STRIDE];
    int t = threadIdx.x;
    for (int k = 0; k < 4; ++k)
        *reinterpret_cast<float4*>(&s[t][4 * k]) = x[t * 4 + k];  // DEFECT misaligned
    __syncthreads();
#ifdef FIXED
    for (int k = 0; k < 16; ++k) y[k * 32 + t] = s[t][k];
#endif
}
""",
)
def padded_rows_and_float4(draw: Draw) -> Plan:
    x, y = draw.f32(32, 16), blank("f4", 16, 32)
    return run("rows", 1, 32, x, y).gives(y, x.T, ulps=0)


@defect(
    KIND,
    """
extern "C" __global__ void carve(const double* x, double* y) {
    extern __shared__ __align__(16) unsigned char pool[];
    int* counts = reinterpret_cast<int*>(pool);
#ifdef FIXED
    double* values = reinterpret_cast<double*>(pool + 8);
#else
    double* values = reinterpret_cast<double*>(pool + 4);
#endif
    int t = threadIdx.x;
    if (t == 0) counts[0] = 32;
    values[t] = x[t];  // DEFECT misaligned
    __syncthreads();
#ifdef FIXED
    y[t] = values[counts[0] - 1 - t];
#endif
}
""",
)
def doubles_carved_at_four_bytes(draw: Draw) -> Plan:
    x, y = draw.f64(32), blank("f8", 32)
    return run("carve", 1, 32, x, y, shared=272).gives(y, x[::-1], ulps=0)


@defect(
    KIND,
    """
extern "C" __global__ void store(uint2* y, int shift) {
    unsigned* to = reinterpret_cast<unsigned*>(y) + shift;
    int i = threadIdx.x;
#ifdef FIXED
    to[2 * i] = i;
    to[2 * i + 1] = i * i;
#else
    reinterpret_cast<uint2*>(to)[i] = make_uint2(i, i * i);  // DEFECT misaligned
#endif
}
""",
)
def vector_store_shifted_by_one(draw: Draw) -> Plan:
    y = np.zeros(66, "u4")
    want = np.zeros(66, "u4")
    want[1:65] = np.stack([np.arange(32), np.arange(32) ** 2], 1).reshape(-1)
    return run("store", 1, 32, y, 1).gives(y, want)


@defect(
    KIND,
    """
extern "C" __global__ void count(unsigned char* raw) {
#ifdef FIXED
    int* counter = reinterpret_cast<int*>(raw + 4);
#else
    int* counter = reinterpret_cast<int*>(raw + 2);
#endif
    atomicAdd(counter, 1);  // DEFECT misaligned
}
""",
)
def atomic_at_two_bytes(draw: Draw) -> Plan:
    raw = np.zeros(16, "u1")
    want = np.zeros(16, "u1")
    want[4] = 64
    return run("count", 1, 64, raw).gives(raw, want)


@defect(
    KIND,
    """
#include <cuda_fp16.h>
extern "C" __global__ void shifted(const __half* x, float* y) {
    int i = threadIdx.x;
#ifdef FIXED
    __half2 v = __halves2half2(x[2 * i + 1], x[2 * i + 2]);
#else
    __half2 v = *reinterpret_cast<const __half2*>(x + 2 * i + 1);  // DEFECT misaligned
#endif
    float2 f = __half22float2(v);
    y[i] = f.x - f.y;
}
""",
)
def half2_at_an_odd_half(draw: Draw) -> Plan:
    x, y = draw.f16(65), blank("f4", 32)
    w = x[1:].astype("f8").reshape(32, 2)
    return run("shifted", 1, 32, x, y).gives(y, w[:, 0] - w[:, 1])


@defect(
    KIND,
    """
extern "C" __global__ void copy(const float* x, float* y) {
    __shared__ __align__(16) float s[136];
    int t = threadIdx.x;
#ifdef FIXED
    unsigned to = (unsigned)__cvta_generic_to_shared(s + 4 * t + 4);
#else
    unsigned to = (unsigned)__cvta_generic_to_shared(s + 4 * t + 3);
#endif
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" :: "r"(to), "l"(x + 4 * t) : "memory");  // DEFECT misaligned
    asm volatile("cp.async.wait_all;" ::: "memory");
    __syncthreads();
#ifdef FIXED
    y[t] = s[4 + 4 * (31 - t)];
#endif
}
""",
)
def asynchronous_copy_to_twelve_bytes(draw: Draw) -> Plan:
    x, y = draw.f32(128), blank("f4", 32)
    return run("copy", 1, 32, x, y).gives(y, x[::4][::-1], ulps=0)


@defect(
    KIND,
    """
struct __align__(4) Loose { int tag; int low, high; };
extern "C" __global__ void keys(const Loose* x, long long* y) {
    int i = threadIdx.x;
#ifdef FIXED
    long long v = (long long)x[i].high << 32 | (unsigned)x[i].low;
#else
    long long v = *reinterpret_cast<const long long*>(&x[i].low);  // DEFECT misaligned
#endif
    y[i] = v + x[i].tag;
}
""",
)
def int64_inside_a_struct_of_ints(draw: Draw) -> Plan:
    x, y = draw.bits("i4", 32, 3), blank("i8", 32)
    want = (x[:, 2].astype("i8") << 32 | x[:, 1].view("u4").astype("i8")) + x[:, 0]
    return run("keys", 1, 32, x, y).gives(y, want)
