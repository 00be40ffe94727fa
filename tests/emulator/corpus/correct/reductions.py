"""Reductions, scans and compaction, in a block and across blocks."""

from __future__ import annotations

import numpy as np
from emulator.corpus.case import Collection, Draw, Plan, blank, run

cases = Collection()
case = cases.case
F = np.float32


@case("""
extern "C" __global__ void sum(const float* x, float* out, int n) {
    __shared__ float part[256];
    int t = threadIdx.x;
    float v = 0.0f;
    for (int i = t; i < n; i += 256) v += x[i];
    part[t] = v;
    __syncthreads();
    for (int half = 128; half > 0; half >>= 1) { if (t < half) part[t] += part[t + half]; __syncthreads(); }
    if (t == 0) *out = part[0];
}
""")
def tree_in_shared_memory(draw: Draw) -> Plan:
    x, out = draw.uniform(0, 1, 5000), blank("f4", 1)
    return run("sum", 1, 256, x, out, 5000).gives(out, [x.astype("f8").sum()])


@case("""
__inline__ __device__ float warp_sum(float v) {
    for (int offset = 16; offset; offset >>= 1) v += __shfl_down_sync(0xffffffffu, v, offset);
    return v;
}
extern "C" __global__ void rows(const float* x, float* out, int width) {
    __shared__ float part[32];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    float v = 0.0f;
    for (int i = threadIdx.x; i < width; i += blockDim.x) v += x[blockIdx.x * width + i];
    v = warp_sum(v);
    if (lane == 0) part[warp] = v;
    __syncthreads();
    if (warp == 0) {
        v = lane < blockDim.x / 32 ? part[lane] : 0.0f;
        v = warp_sum(v);
        if (lane == 0) out[blockIdx.x] = v;
    }
}
""")
def shuffles_then_shared(draw: Draw) -> Plan:
    x, out = draw.uniform(0, 1, 6, 1000), blank("f4", 6)
    return run("rows", 6, 192, x, out, 1000).gives(out, x.astype("f8").sum(1))


@case("""
__device__ unsigned done = 0;
extern "C" __global__ void sum(const float* x, volatile float* parts, float* out, int n) {
    __shared__ float part[128];
    __shared__ bool last;
    int t = threadIdx.x;
    float v = 0.0f;
    for (int i = blockIdx.x * 128 + t; i < n; i += gridDim.x * 128) v += x[i];
    part[t] = v;
    __syncthreads();
    for (int half = 64; half > 0; half >>= 1) { if (t < half) part[t] += part[t + half]; __syncthreads(); }
    if (t == 0) {
        parts[blockIdx.x] = part[0];
        __threadfence();
        last = atomicInc(&done, gridDim.x - 1) == gridDim.x - 1;
    }
    __syncthreads();
    if (!last) return;
    __threadfence();
    part[t] = t < gridDim.x ? parts[t] : 0.0f;
    __syncthreads();
    for (int half = 64; half > 0; half >>= 1) { if (t < half) part[t] += part[t + half]; __syncthreads(); }
    if (t == 0) *out = part[0];
}
""")
def last_block_finishes(draw: Draw) -> Plan:
    x, parts, out, again = draw.uniform(0, 1, 7000), blank("f4", 20), blank("f4", 1), blank("f4", 1)
    total = x.astype("f8").sum()
    plan = run("sum", 20, 128, x, parts, out, 7000).then("sum", 20, 128, x, parts, again, 7000)
    return plan.gives(out, [total]).gives(again, [total])


@case(
    """
extern "C" __global__ void argmax(const float* x, int* index, float* value, int width) {
    __shared__ float best[128];
    __shared__ int where[128];
    int t = threadIdx.x;
    float b = -INFINITY_F;
    int w = 0x7fffffff;
    for (int i = t; i < width; i += 128) { float v = x[blockIdx.x * width + i]; if (v > b) { b = v; w = i; } }
    best[t] = b;
    where[t] = w;
    __syncthreads();
    for (int half = 64; half; half >>= 1) {
        if (t < half) {
            float v = best[t + half];
            int j = where[t + half];
            if (v > best[t] || (v == best[t] && j < where[t])) { best[t] = v; where[t] = j; }
        }
        __syncthreads();
    }
    if (t == 0) { index[blockIdx.x] = where[0]; value[blockIdx.x] = best[0]; }
}
""",
    options=("-DINFINITY_F=__int_as_float(0x7f800000)",),
)
def argmax_first_of_ties(draw: Draw) -> Plan:
    x, index, value = draw.ints("i4", 0, 30, 9, 300).astype("f4"), blank("i4", 9), blank("f4", 9)
    plan = run("argmax", 9, 128, x, index, value, 300)
    return plan.gives(index, x.argmax(1).astype("i4")).gives(value, x.max(1), ulps=0)


@case("""
struct Moments { float n, mean, m2; };
__device__ Moments join(Moments a, Moments b) {
    float n = a.n + b.n;
    if (n == 0.0f) return a;
    float d = b.mean - a.mean;
    return {n, a.mean + d * (b.n / n), a.m2 + b.m2 + d * d * (a.n * b.n / n)};
}
extern "C" __global__ void variance(const float* x, float* mean, float* var, int width) {
    Moments m{0, 0, 0};
    for (int i = threadIdx.x; i < width; i += 32) {
        float v = x[blockIdx.x * width + i];
        m.n += 1.0f;
        float d = v - m.mean;
        m.mean += d / m.n;
        m.m2 += d * (v - m.mean);
    }
    for (int o = 16; o; o >>= 1) {
        Moments other{__shfl_xor_sync(~0u, m.n, o), __shfl_xor_sync(~0u, m.mean, o), __shfl_xor_sync(~0u, m.m2, o)};
        m = join(m, other);
    }
    if (threadIdx.x == 0) { mean[blockIdx.x] = m.mean; var[blockIdx.x] = m.m2 / m.n; }
}
""")
def welford(draw: Draw) -> Plan:
    x, mean, var = draw.f32(5, 77) + F(100), blank("f4", 5), blank("f4", 5)
    w = x.astype("f8")
    return run("variance", 5, 32, x, mean, var, 77).gives(mean, w.mean(1)).gives(var, w.var(1), rtol=2e-5)


@case("""
extern "C" __global__ void scan(const int* x, int* y, int n) {
    __shared__ int s[2][256];
    int t = threadIdx.x, from = 0;
    s[0][t] = t < n ? x[t] : 0;
    __syncthreads();
    for (int d = 1; d < 256; d <<= 1) {
        s[1 - from][t] = t >= d ? s[from][t] + s[from][t - d] : s[from][t];
        from = 1 - from;
        __syncthreads();
    }
    if (t < n) y[t] = s[from][t];
}
""")
def scan_hillis_steele(draw: Draw) -> Plan:
    x, y = draw.ints("i4", -100, 100, 250), blank("i4", 250)
    return run("scan", 1, 256, x, y, 250).gives(y, np.cumsum(x, dtype="i4"))


@case("""
#define PAD(i) ((i) + ((i) >> 5))
extern "C" __global__ void exclusive(const unsigned* x, unsigned* y) {
    __shared__ unsigned s[512 + 16];
    int t = threadIdx.x;
    s[PAD(2 * t)] = x[2 * t];
    s[PAD(2 * t + 1)] = x[2 * t + 1];
    int step = 1;
    for (int d = 256; d > 0; d >>= 1, step <<= 1) {
        __syncthreads();
        if (t < d) s[PAD(step * (2 * t + 2) - 1)] += s[PAD(step * (2 * t + 1) - 1)];
    }
    if (t == 0) s[PAD(511)] = 0;
    for (int d = 1; d < 512; d <<= 1) {
        step >>= 1;
        __syncthreads();
        if (t < d) {
            int a = PAD(step * (2 * t + 1) - 1), b = PAD(step * (2 * t + 2) - 1);
            unsigned v = s[a];
            s[a] = s[b];
            s[b] += v;
        }
    }
    __syncthreads();
    y[2 * t] = s[PAD(2 * t)];
    y[2 * t + 1] = s[PAD(2 * t + 1)];
}
""")
def scan_blelloch_padded(draw: Draw) -> Plan:
    x, y = draw.bits("u4", 512), blank("u4", 512)
    want = np.concatenate([[0], np.cumsum(x, dtype="u4")[:-1]]).astype("u4")
    return run("exclusive", 1, 256, x, y).gives(y, want)


@case("""
extern "C" __global__ void block_scan(const float* x, float* y, float* totals, int n) {
    __shared__ float sums[8];
    int i = blockIdx.x * 256 + threadIdx.x, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    float v = i < n ? x[i] : 0.0f;
    for (int d = 1; d < 32; d *= 2) { float u = __shfl_up_sync(~0u, v, d); if (lane >= d) v += u; }
    if (lane == 31) sums[warp] = v;
    __syncthreads();
    if (warp == 0 && lane < 8) {
        float s = sums[lane];
        for (int d = 1; d < 8; d *= 2) { float u = __shfl_up_sync(0xffu, s, d, 8); if (lane >= d) s += u; }
        sums[lane] = s;
    }
    __syncthreads();
    if (warp) v += sums[warp - 1];
    if (i < n) y[i] = v;
    if (threadIdx.x == 255) totals[blockIdx.x] = v;
}
extern "C" __global__ void add_totals(float* y, const float* totals, int n) {
    int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= n) return;
    float before = 0.0f;
    for (int b = 0; b < blockIdx.x; ++b) before += totals[b];
    y[i] += before;
}
""")
def scan_in_two_kernels(draw: Draw) -> Plan:
    x, y, totals = draw.uniform(0, 1, 900), blank("f4", 900), blank("f4", 4)
    plan = run("block_scan", 4, 256, x, y, totals, 900).then("add_totals", 4, 256, y, totals, 900)
    return plan.gives(y, np.cumsum(x, dtype="f8"), ulps=16)


@case("""
// Single-pass scan: a block takes a ticket, publishes its sum, and looks back at the blocks before it.
struct State { unsigned status; int value; };
extern "C" __global__ void lookback(const int* x, int* y, unsigned long long* state, unsigned* ticket, int n) {
    __shared__ unsigned tile;
    __shared__ int before, s[128];
    int t = threadIdx.x;
    if (t == 0) tile = atomicAdd(ticket, 1u);
    __syncthreads();
    int i = tile * 128 + t;
    s[t] = i < n ? x[i] : 0;
    __syncthreads();
    for (int d = 1; d < 128; d <<= 1) {
        int v = t >= d ? s[t - d] : 0;
        __syncthreads();
        s[t] += v;
        __syncthreads();
    }
    if (t == 0) {
        unsigned total = s[127];
        int sum = 0;
        if (tile == 0) atomicExch(state, 2ull << 32 | total);
        else {
            atomicExch(state + tile, 1ull << 32 | total);
            for (int b = tile - 1; b >= 0; ) {
                unsigned long long seen = atomicAdd(state + b, 0ull);
                if (seen >> 32 == 0) continue;
                sum += (int)(unsigned)seen;
                if (seen >> 32 == 2) break;
                --b;
            }
            atomicExch(state + tile, 2ull << 32 | (unsigned)(sum + (int)total));
        }
        before = sum;
    }
    __syncthreads();
    if (i < n) y[i] = s[t] + before;
}
""")
def scan_with_look_back(draw: Draw) -> Plan:
    x, y = draw.ints("i4", -50, 50, 1500), blank("i4", 1500)
    state, ticket = np.zeros(12, "u8"), np.zeros(1, "u4")
    return run("lookback", 12, 128, x, y, state, ticket, 1500).gives(y, np.cumsum(x, dtype="i4"))


@case("""
extern "C" __global__ void columns(const float* x, float* out, int rows, int cols) {
    __shared__ float part[8][33];
    int c = blockIdx.x * 32 + threadIdx.x;
    float v = 0.0f;
    if (c < cols) for (int r = threadIdx.y; r < rows; r += 8) v += x[r * cols + c];
    part[threadIdx.y][threadIdx.x] = v;
    __syncthreads();
    if (threadIdx.y == 0 && c < cols) {
        for (int k = 1; k < 8; ++k) v += part[k][threadIdx.x];
        out[c] = v;
    }
}
""")
def column_sums(draw: Draw) -> Plan:
    x, out = draw.uniform(0, 1, 100, 70), blank("f4", 70)
    return run("columns", 3, (32, 8), x, out, 100, 70).gives(out, x.astype("f8").sum(0))


@case("""
extern "C" __global__ void segments(const float* x, const int* head, float* out, int n) {
    __shared__ float s[128];
    __shared__ int f[128];
    int t = threadIdx.x;
    s[t] = t < n ? x[t] : 0.0f;
    f[t] = t < n ? head[t] : 1;
    __syncthreads();
    for (int d = 1; d < 128; d <<= 1) {
        float v = 0.0f;
        int g = 0;
        if (t >= d) { v = s[t - d]; g = f[t - d]; }
        __syncthreads();
        if (t >= d && !f[t]) { s[t] += v; f[t] = g; }
        __syncthreads();
    }
    if (t < n) out[t] = s[t];
}
""")
def segmented_scan(draw: Draw) -> Plan:
    x, head, out = draw.uniform(0, 1, 120), (draw.ints("i4", 0, 6, 120) == 0).astype("i4"), blank("f4", 120)
    head[0] = 1
    want, running = [], 0.0
    for v, h in zip(x.astype("f8").tolist(), head.tolist(), strict=True):
        running = v if h else running + v
        want.append(running)
    return run("segments", 1, 128, x, head, out, 120).gives(out, want)


@case("""
extern "C" __global__ void compact(const int* x, int* out, int* count, int n) {
    __shared__ int offsets[9];
    int t = threadIdx.x, lane = t & 31, warp = t >> 5;
    bool keep = t < n && x[t] % 3 == 0;
    unsigned mask = __ballot_sync(~0u, keep);
    if (lane == 0) offsets[warp + 1] = __popc(mask);
    __syncthreads();
    if (t == 0) { offsets[0] = 0; for (int w = 1; w <= 8; ++w) offsets[w] += offsets[w - 1]; *count = offsets[8]; }
    __syncthreads();
    if (keep) out[offsets[warp] + __popc(mask & ((1u << lane) - 1))] = x[t];
}
""")
def stream_compaction(draw: Draw) -> Plan:
    x = draw.ints("i4", 0, 100, 250)
    kept = x[x % 3 == 0]
    out, count = np.full(250, -1, "i4"), blank("i4", 1)
    want = np.full(250, -1, "i4")
    want[: kept.size] = kept
    return run("compact", 1, 256, x, out, count, 250).gives(out, want).gives(count, np.array([kept.size], "i4"))


@case("""
extern "C" __global__ void dot(const float2* a, const float2* b, double2* out, int n) {
    __shared__ double2 part[64];
    int t = threadIdx.x;
    double re = 0, im = 0;
    for (int i = t; i < n; i += 64) {
        re += (double)a[i].x * b[i].x + (double)a[i].y * b[i].y;
        im += (double)a[i].x * b[i].y - (double)a[i].y * b[i].x;
    }
    part[t] = make_double2(re, im);
    __syncthreads();
    for (int h = 32; h; h /= 2) { if (t < h) { part[t].x += part[t + h].x; part[t].y += part[t + h].y; } __syncthreads(); }
    if (t == 0) *out = part[0];
}
""")
def complex_dot_product(draw: Draw) -> Plan:
    a, b, out = draw.f32(500, 2), draw.f32(500, 2), blank("f8", 2)
    z = np.vdot(a.astype("f8").view("c16"), b.astype("f8").view("c16"))
    return run("dot", 1, 64, a, b, out, 500).gives(out, [z.real, z.imag], rtol=1e-12)


@case("""
extern "C" __global__ void logsumexp(const float* x, float* out, int width) {
    float m = __int_as_float(0xff800000), s = 0.0f;
    for (int i = threadIdx.x; i < width; i += 32) {
        float v = x[blockIdx.x * width + i], big = fmaxf(m, v);
        s = s * expf(m - big) + expf(v - big);
        m = big;
    }
    for (int o = 16; o; o >>= 1) {
        float m2 = __shfl_xor_sync(~0u, m, o), s2 = __shfl_xor_sync(~0u, s, o), big = fmaxf(m, m2);
        s = s * expf(m - big) + s2 * expf(m2 - big);
        m = big;
    }
    if (threadIdx.x == 0) out[blockIdx.x] = m + logf(s);
}
""")
def online_logsumexp(draw: Draw) -> Plan:
    x, out = draw.f32(4, 100, scale=20), blank("f4", 4)
    return run("logsumexp", 4, 32, x, out, 100).gives(out, np.logaddexp.reduce(x.astype("f8"), axis=1))


@case("""
#include <cuda_fp16.h>
extern "C" __global__ void extremes(const __half* x, __half2* out, int n) {
    __half low = __ushort_as_half(0x7c00), high = __ushort_as_half(0xfc00);
    for (int i = threadIdx.x; i < n; i += 32) { low = __hmin(low, x[i]); high = __hmax(high, x[i]); }
    for (int o = 16; o; o >>= 1) {
        low = __hmin(low, __shfl_xor_sync(~0u, low, o));
        high = __hmax(high, __shfl_xor_sync(~0u, high, o));
    }
    if (threadIdx.x == 0) *out = __halves2half2(low, high);
}
""")
def half_extremes(draw: Draw) -> Plan:
    x, out = draw.f16(300), blank("f2", 2)
    return run("extremes", 1, 32, x, out, 300).gives(out, [x.min(), x.max()], ulps=0)
