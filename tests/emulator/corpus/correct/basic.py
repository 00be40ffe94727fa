"""Pointwise kernels: indexing, tails, grids of every shape, data types, vector types, parameters, templates."""

from __future__ import annotations

import numpy as np
from emulator.corpus.case import Collection, Draw, Plan, blank, run

cases = Collection()
case = cases.case
F = np.float32


@case("""
extern "C" __global__ void saxpy(float a, const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = a * x[i] + y[i];
}
""")
def saxpy(draw: Draw) -> Plan:
    x, y = draw.f32(1000), draw.f32(1000)
    return run("saxpy", 4, 256, F(2.5), x, y, 1000).gives(y, 2.5 * x.astype("f8") + y)


@case("""
extern "C" __global__ void relu(const float* x, float* y, long long n) {
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
""")
def grid_stride_relu(draw: Draw) -> Plan:
    x, y = draw.f32(10007), blank("f4", 10007)
    return run("relu", 5, 128, x, y, 10007).gives(y, np.maximum(x, 0))


@case("""
extern "C" __global__ void add4(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    int quads = n / 4;
    if (i < quads) {
        float4 u = reinterpret_cast<const float4*>(a)[i], v = reinterpret_cast<const float4*>(b)[i];
        reinterpret_cast<float4*>(c)[i] = make_float4(u.x + v.x, u.y + v.y, u.z + v.z, u.w + v.w);
    }
    int tail = quads * 4 + i;
    if (tail < n) c[tail] = a[tail] + b[tail];
}
""")
def float4_with_tail(draw: Draw) -> Plan:
    a, b, c = draw.f32(1003), draw.f32(1003), blank("f4", 1003)
    return run("add4", 2, 128, a, b, c, 1003).gives(c, a + b)


@case("""
extern "C" __global__ void scale(double2* v, double s, int pairs) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < pairs) { double2 t = v[i]; t.x *= s; t.y = fma(t.y, s, t.x); v[i] = t; }
}
""")
def double2_scale(draw: Draw) -> Plan:
    v = draw.f64(300)
    want = v.reshape(-1, 2) * 0.3
    want[:, 1] += want[:, 0]
    return run("scale", 3, 64, v, np.float64(0.3), 150).gives(v, want.reshape(-1))


@case("""
extern "C" __global__ void transpose(const int* in, int* out, int rows, int cols) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x < cols && y < rows) out[x * rows + y] = in[y * cols + x];
}
""")
def transpose_on_2d_grid(draw: Draw) -> Plan:
    a, b = draw.bits("i4", 37, 53), blank("i4", 53, 37)
    return run("transpose", (4, 5), (16, 8), a, b, 37, 53).gives(b, a.T)


@case("""
extern "C" __global__ void where_am_i(unsigned* out, uint3 size) {
    unsigned x = blockIdx.x * blockDim.x + threadIdx.x;
    unsigned y = blockIdx.y * blockDim.y + threadIdx.y;
    unsigned z = blockIdx.z * blockDim.z + threadIdx.z;
    if (x >= size.x || y >= size.y || z >= size.z) return;
    unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    out[(z * size.y + y) * size.x + x] = block * 1000 + thread;
}
""")
def grid_in_three_dimensions(draw: Draw) -> Plan:
    out = blank("u4", 5, 7, 9)
    z, y, x = np.meshgrid(np.arange(5), np.arange(7), np.arange(9), indexing="ij")
    block = ((z // 2) * 3 + y // 3) * 3 + x // 4
    want = block * 1000 + ((z % 2) * 3 + y % 3) * 4 + x % 4
    size = np.array((9, 7, 5), np.uint32).view(np.dtype("V12"))[0]
    return run("where_am_i", (3, 3, 3), (4, 3, 2), out, size).gives(out, want.astype("u4"))


@case("""
extern "C" __global__ void brighten(const unsigned char* in, unsigned char* out, int n, int by) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) { int v = in[i] + by; out[i] = v < 0 ? 0 : v > 255 ? 255 : v; }
}
""")
def uint8_saturation(draw: Draw) -> Plan:
    x, y = draw.bits("u1", 777), blank("u1", 777)
    return run("brighten", 4, 256, x, y, 777, np.int32(-60)).gives(y, np.clip(x.astype(int) - 60, 0, 255).astype("u1"))


@case("""
extern "C" __global__ void masked(const bool* m, const bool* k, const int* a, const int* b, int* out, bool* both, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) { out[i] = m[i] ? a[i] : b[i]; both[i] = m[i] && !k[i]; }
}
""")
def bool_masks(draw: Draw) -> Plan:
    m, k = draw.ints("u1", 0, 2, 500).astype(bool), draw.ints("u1", 0, 2, 500).astype(bool)
    a, b, out, both = draw.bits("i4", 500), draw.bits("i4", 500), blank("i4", 500), np.zeros(500, bool)
    return run("masked", 2, 256, m, k, a, b, out, both, 500).gives(out, np.where(m, a, b)).gives(both, m & ~k)


@case("""
extern "C" __global__ void gather(const float* table, const long long* index, float* out, long long rows, int width) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < rows * width) { long long r = i / width, c = i % width; out[i] = table[index[r] * width + c]; }
}
""")
def int64_gather(draw: Draw) -> Plan:
    table, index, out = draw.f32(50, 13), draw.ints("i8", 0, 50, 40), blank("f4", 40, 13)
    return run("gather", 5, 128, table, index, out, 40, 13).gives(out, table[index])


@case("""
__constant__ float coefficients[6] = {1.0f, -0.5f, 0.25f, -0.125f, 0.0625f, 3.0f};
__constant__ int order = 6;
extern "C" __global__ void polynomial(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float r = 0.0f;
    for (int k = order - 1; k >= 0; --k) r = r * x[i] + coefficients[k];
    y[i] = r;
}
""")
def constant_memory(draw: Draw) -> Plan:
    x, y = draw.uniform(-1, 1, 400), blank("f4", 400)
    want = np.polynomial.polynomial.polyval(x.astype("f8"), [1, -0.5, 0.25, -0.125, 0.0625, 3])
    return run("polynomial", 4, 128, x, y, 400).gives(y, want)


@case("""
__device__ int table[64];
__device__ unsigned long long calls = 7;
extern "C" __global__ void fill(int step) { table[threadIdx.x] = threadIdx.x * step; if (threadIdx.x == 0) calls += 1; }
extern "C" __global__ void read(int* out, unsigned long long* n) {
    out[threadIdx.x] = table[63 - threadIdx.x];
    if (threadIdx.x == 0) *n = calls;
}
""")
def device_variables_last_between_launches(draw: Draw) -> Plan:
    out, n = blank("i4", 64), blank("u8", 1)
    plan = run("fill", 1, 64, 2).then("fill", 1, 64, 3).then("read", 1, 64, out, n)
    return plan.gives(out, np.arange(63, -1, -1, dtype="i4") * 3).gives(n, np.array([9], "u8"))


PARAMS = np.dtype([("gain", "f4"), ("shift", "i4"), ("offset", "f8"), ("taps", "i2", 3), ("on", "?")], align=True)


@case("""
struct Params { float gain; int shift; double offset; short taps[3]; bool on; };
extern "C" __global__ void apply(Params p, const int* x, double* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = p.on ? p.gain * (x[i] >> p.shift) + p.offset + p.taps[i % 3] : 0.0;
}
""")
def struct_by_value(draw: Draw) -> Plan:
    p = np.zeros(1, PARAMS)
    p[0] = (0.5, 3, 1e9, (-7, 300, 32767), True)
    x, y = draw.ints("i4", -10000, 10000, 200), blank("f8", 200)
    want = 0.5 * (x >> 3) + 1e9 + np.array([-7, 300, 32767])[np.arange(200) % 3]
    return run("apply", 2, 128, p[0], x, y, 200).gives(y, want)


@case("""
struct View { const float* data; int stride[3]; int size[3]; };
extern "C" __global__ void contiguous(View v, float* out) {
    int n = v.size[0] * v.size[1] * v.size[2];
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        int rest = i, at = 0;
#pragma unroll
        for (int d = 2; d >= 0; --d) { at += (rest % v.size[d]) * v.stride[d]; rest /= v.size[d]; }
        out[i] = v.data[at];
    }
}
""")
def struct_with_pointer_and_strides(draw: Draw) -> Plan:
    base, out = draw.f32(6, 1, 10), blank("f4", 3, 4, 5)
    want = np.broadcast_to(base, (6, 4, 10))[::2, :, ::2]
    view = np.zeros(1, np.dtype([("data", "u8"), ("stride", "i4", 3), ("size", "i4", 3)], align=True))
    view[0] = (base.ctypes.data, (20, 0, 2), (3, 4, 5))
    return run("contiguous", 1, 32, view[0], out).gives(out, want).reaches(base)


@case(
    """
template <typename T, int N> __global__ void affine(const T* x, T* y, T a, T b, int n) {
    int base = (blockIdx.x * blockDim.x + threadIdx.x) * N;
#pragma unroll
    for (int k = 0; k < N; ++k) if (base + k < n) y[base + k] = a * x[base + k] + b;
}
""",
    expressions=("affine<float, 4>", "affine<double, 1>", "affine<int, 3>"),
)
def template_instances(draw: Draw) -> Plan:
    x, y, z = draw.f32(501), draw.f64(201), draw.ints("i4", -99, 99, 100)
    p, q, r = blank("f4", 501), blank("f8", 201), blank("i4", 100)
    plan = run("affine<float, 4>", 1, 128, x, p, F(2), F(-1), 501)
    plan.then("affine<double, 1>", 2, 128, y, q, np.float64(0.1), np.float64(3), 201)
    plan.then("affine<int, 3>", 2, 32, z, r, 5, 6, 100)
    return plan.gives(p, 2.0 * x - 1).gives(q, 0.1 * y + 3).gives(r, 5 * z + 6)


@case("""
namespace ops {
struct Square { template <class T> __device__ T operator()(T v) const { return v * v; } };
struct Shift { int by; __device__ int operator()(int v) const { return v << by; } };
template <class F> __device__ void each(int* data, int n, F f) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) data[i] = f(data[i]);
}
}
extern "C" __global__ void functors(int* data, int n, int k) {
    ops::each(data, n, ops::Square{});
    ops::each(data, n, ops::Shift{k});
    ops::each(data, n, [=](int v) { return v - k; });
}
""")
def functors_and_lambdas(draw: Draw) -> Plan:
    data = draw.ints("i4", -50, 50, 300)
    return run("functors", 1, 96, data, 300, 3).gives(data, data**2 * 8 - 3)


@case("""
extern "C" __global__ void gray(const uchar4* in, unsigned char* out, ushort2* wide, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    uchar4 p = in[i];
    out[i] = (77 * p.x + 150 * p.y + 29 * p.z) >> 8;
    wide[i] = make_ushort2(p.w * 257, p.x * 256 + p.y);
}
""")
def uchar4_pixels(draw: Draw) -> Plan:
    image, out, wide = draw.bits("u1", 333, 4), blank("u1", 333), blank("u2", 333, 2)
    r, g, b, a = image.astype("i4").T
    plan = run("gray", 3, 128, image, out, wide, 333).gives(out, ((77 * r + 150 * g + 29 * b) >> 8).astype("u1"))
    return plan.gives(wide, np.stack([a * 257, r * 256 + g], 1).astype("u2"))


@case("""
extern "C" __global__ void hints(const float* in, float* out, const volatile int* v, int* sum, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        __stcs(out + i, __ldg(in + i) + __ldcs(in + i) + __ldcg(in + i) + __ldca(in + i));
        sum[i] = v[i] + v[i];
        __stwt(sum + i, __ldcv(sum + i) + 1);
    }
}
""")
def cache_hints_and_volatile(draw: Draw) -> Plan:
    x, y, v, s = draw.f32(300), blank("f4", 300), draw.ints("i4", -9, 9, 300), blank("i4", 300)
    return run("hints", 3, 128, x, y, v, s, 300).gives(y, 4.0 * x).gives(s, 2 * v + 1)


@case("""
extern "C" __global__ void single(int* out) { out[blockIdx.x] = blockIdx.x * gridDim.x + blockDim.x; }
extern "C" __global__ void odd(int* out) { out[blockIdx.x * 37 + threadIdx.x] = threadIdx.x - 37 * (int)blockIdx.x; }
extern "C" __global__ void full(int* out) { out[threadIdx.x + 32 * (threadIdx.y + 8 * threadIdx.z)] = threadIdx.z; }
""")
def blocks_of_1_37_and_1024(draw: Draw) -> Plan:
    a, b, c = blank("i4", 37), blank("i4", 3 * 37), blank("i4", 1024)
    plan = run("single", 37, 1, a).then("odd", 3, 37, b).then("full", 1, (32, 8, 4), c)
    plan.gives(a, np.arange(37, dtype="i4") * 37 + 1)
    plan.gives(b, (np.arange(37) - 37 * np.arange(3)[:, None]).reshape(-1).astype("i4"))
    return plan.gives(c, np.repeat(np.arange(4, dtype="i4"), 256))


@case("""
extern "C" __global__ void limits(const signed char* a, short* b, unsigned short* c, long long* d, unsigned* e, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    b[i] = (short)(a[i] * 300);
    c[i] = (unsigned short)(a[i] - 1);
    d[i] = (long long)a[i] << 40;
    e[i] = (unsigned char)a[i] + 1u;
}
""")
def narrow_integers_wrap_and_extend(draw: Draw) -> Plan:
    a = np.arange(-128, 128).astype("i1")
    b, c, d, e = blank("i2", 256), blank("u2", 256), blank("i8", 256), blank("u4", 256)
    w = a.astype("i8")
    plan = run("limits", 2, 128, a, b, c, d, e, 256)
    plan.gives(b, (w * 300).astype("i2")).gives(c, (w - 1).astype("u2"))
    return plan.gives(d, w << 40).gives(e, (a.view("u1").astype("u4") + 1))


@case(
    """
enum class Kind { copy, negate, invert };
template <Kind K, class T> __device__ T act(T v) {
    if constexpr (K == Kind::copy) return v;
    else if constexpr (K == Kind::negate) return -v;
    else { static_assert(sizeof(T) == 4, "words only"); return T(1) / v; }
}
template <class T> __global__ void three(const T* x, T* y, int n) {
    constexpr int width = 3;
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    y[i * width] = act<Kind::copy>(x[i]);
    y[i * width + 1] = act<Kind::negate>(x[i]);
    y[i * width + 2] = act<Kind::invert>(x[i]);
}
""",
    expressions=("three<float>",),
    options=("--std=c++20", "-lineinfo", "-O3"),
)
def if_constexpr_and_options(draw: Draw) -> Plan:
    x, y = draw.uniform(1, 2, 100), blank("f4", 100, 3)
    return run("three<float>", 1, 128, x, y, 100).gives(y, np.stack([x, -x, 1 / x.astype("f8")], 1))


@case("""
extern "C" __global__ void by_address(float** rows, const int* lengths, float** results) {
    const float* row = rows[blockIdx.x];
    float sum = 0.0f;
    for (int i = 0; i < lengths[blockIdx.x]; ++i) sum += row[i];
    *results[blockIdx.x] = sum;
}
""")
def arrays_of_pointers(draw: Draw) -> Plan:
    rows = [draw.f32(n) for n in (5, 1, 17)]
    outs = [blank("f4", 1) for _ in rows]
    pointers = np.array([r.ctypes.data for r in rows], "u8")
    results = np.array([o.ctypes.data for o in outs], "u8")
    plan = run("by_address", 3, 1, pointers, np.array([5, 1, 17], "i4"), results).reaches(*rows, *outs)
    for row, out in zip(rows, outs, strict=True):
        plan.gives(out, [row.astype("f8").sum()], ulps=32)
    return plan


@case("""
#define CLAMP(v, lo, hi) ((v) < (lo) ? (lo) : (v) > (hi) ? (hi) : (v))
extern "C" __global__ void hard_swish(const double* x, double* y, int n) {
    for (int i = threadIdx.x; i < n; i += 64) y[i] = x[i] * CLAMP(x[i] + 3.0, 0.0, 6.0) / 6.0;
}
""")
def macro_and_double(draw: Draw) -> Plan:
    x, y = draw.f64(150, scale=3), blank("f8", 150)
    return run("hard_swish", 1, 64, x, y, 150).gives(y, x * np.clip(x + 3, 0, 6) / 6)
