"""Sorting, merging, selection."""

from __future__ import annotations

import numpy as np
from emulator.corpus.case import Collection, Draw, Plan, blank, run

cases = Collection()
case = cases.case


@case("""
extern "C" __global__ void bitonic(float* x) {
    extern __shared__ float s[];
    int t = threadIdx.x, n = blockDim.x * 2, base = blockIdx.x * n;
    s[t] = x[base + t];
    s[t + blockDim.x] = x[base + t + blockDim.x];
    for (int size = 2; size <= n; size <<= 1)
        for (int stride = size >> 1; stride > 0; stride >>= 1) {
            __syncthreads();
            int i = 2 * t - (t & (stride - 1));
            bool up = (i & size) == 0;
            float a = s[i], b = s[i + stride];
            if ((a > b) == up) { s[i] = b; s[i + stride] = a; }
        }
    __syncthreads();
    x[base + t] = s[t];
    x[base + t + blockDim.x] = s[t + blockDim.x];
}
""")
def bitonic_in_shared_memory(draw: Draw) -> Plan:
    x = draw.f32(2, 256)
    return run("bitonic", 2, 128, x, shared=1024).gives(x, np.sort(x, 1), ulps=0)


@case("""
extern "C" __global__ void odd_even(short* x, int n) {
    __shared__ short s[100];
    int t = threadIdx.x;
    for (int i = t; i < n; i += blockDim.x) s[i] = x[i];
    __syncthreads();
    for (int round = 0; round < n; ++round) {
        int i = 2 * t + (round & 1);
        if (i + 1 < n && s[i] > s[i + 1]) { short v = s[i]; s[i] = s[i + 1]; s[i + 1] = v; }
        __syncthreads();
    }
    for (int i = t; i < n; i += blockDim.x) x[i] = s[i];
}
""")
def odd_even_transposition(draw: Draw) -> Plan:
    x = draw.bits("i2", 99)
    return run("odd_even", 1, 64, x, 99).gives(x, np.sort(x))


@case("""
// Least significant digit first, one bit a pass, stable by a scan of ballots.
extern "C" __global__ void radix(unsigned* keys, int* values) {
    __shared__ unsigned k[2][256];
    __shared__ int v[2][256], zeros[8];
    int t = threadIdx.x, lane = t & 31, warp = t >> 5, from = 0;
    k[0][t] = keys[t];
    v[0][t] = values[t];
    __syncthreads();
    for (int bit = 0; bit < 32; ++bit) {
        unsigned key = k[from][t];
        int value = v[from][t];
        bool one = key >> bit & 1;
        unsigned mask = __ballot_sync(~0u, !one);
        if (lane == 0) zeros[warp] = __popc(mask);
        __syncthreads();
        int before = 0, total = 0;
        for (int w = 0; w < 8; ++w) { if (w < warp) before += zeros[w]; total += zeros[w]; }
        before += __popc(mask & ((1u << lane) - 1));
        int to = one ? total + t - before : before;
        k[1 - from][to] = key;
        v[1 - from][to] = value;
        from = 1 - from;
        __syncthreads();
    }
    keys[t] = k[from][t];
    values[t] = v[from][t];
}
""")
def radix_by_bits(draw: Draw) -> Plan:
    keys, values = draw.bits("u4", 256) % np.uint32(100) * np.uint32(40000000), np.arange(256, dtype="i4")
    order = np.argsort(keys, kind="stable")
    return run("radix", 1, 256, keys, values).gives(keys, keys[order]).gives(values, order.astype("i4"))


@case("""
// Merge path: every thread finds its part of the output by a binary search on a diagonal.
extern "C" __global__ void merge(const int* a, int na, const int* b, int nb, int* out, int each) {
    int begin = min((blockIdx.x * blockDim.x + threadIdx.x) * each, (unsigned)(na + nb)), end = min(begin + each, na + nb);
    int low = max(0, begin - nb), high = min(begin, na);
    while (low < high) {
        int i = (low + high) / 2;
        if (a[i] <= b[begin - 1 - i]) low = i + 1; else high = i;
    }
    int i = low, j = begin - low;
    for (int k = begin; k < end; ++k) out[k] = j >= nb || (i < na && a[i] <= b[j]) ? a[i++] : b[j++];
}
""")
def merge_path(draw: Draw) -> Plan:
    a, b, out = np.sort(draw.ints("i4", 0, 200, 150)), np.sort(draw.ints("i4", 0, 200, 237)), blank("i4", 387)
    return run("merge", 2, 32, a, 150, b, 237, out, 7).gives(out, np.sort(np.concatenate([a, b])))


@case("""
extern "C" __global__ void rank_sort(const double* x, double* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    int rank = 0;
    for (int j = 0; j < n; ++j) rank += x[j] < x[i] || (x[j] == x[i] && j < i);
    y[rank] = x[i];
}
""")
def by_counting_smaller_ones(draw: Draw) -> Plan:
    x, y = draw.ints("i4", 0, 50, 130).astype("f8"), blank("f8", 130)
    return run("rank_sort", 2, 96, x, y, 130).gives(y, np.sort(x), ulps=0)


@case("""
#define K 5
extern "C" __global__ void top_k(const float* x, float* values, int* indices, int width) {
    float best[K];
    int where[K];
#pragma unroll
    for (int k = 0; k < K; ++k) { best[k] = -3.4e38f; where[k] = -1; }
    for (int i = threadIdx.x; i < width; i += 32) {
        float v = x[blockIdx.x * width + i];
        if (v > best[K - 1]) {
            best[K - 1] = v;
            where[K - 1] = i;
#pragma unroll
            for (int k = K - 1; k > 0; --k)
                if (best[k] > best[k - 1]) {
                    float f = best[k]; best[k] = best[k - 1]; best[k - 1] = f;
                    int w = where[k]; where[k] = where[k - 1]; where[k - 1] = w;
                }
        }
    }
    for (int k = 0; k < K; ++k) {
        float v = best[0];
        int w = where[0];
        for (int o = 16; o; o >>= 1) {
            float u = __shfl_xor_sync(~0u, v, o);
            int j = __shfl_xor_sync(~0u, w, o);
            if (u > v || (u == v && j < w)) { v = u; w = j; }
        }
        if (threadIdx.x == 0) { values[blockIdx.x * K + k] = v; indices[blockIdx.x * K + k] = w; }
        if (w == where[0]) {
#pragma unroll
            for (int m = 0; m + 1 < K; ++m) { best[m] = best[m + 1]; where[m] = where[m + 1]; }
            best[K - 1] = -3.4e38f;
            where[K - 1] = -1;
        }
    }
}
""")
def top_k_of_rows(draw: Draw) -> Plan:
    x, values, indices = draw.f32(7, 150), blank("f4", 7, 5), blank("i4", 7, 5)
    order = np.argsort(-x, axis=1, kind="stable")[:, :5]
    plan = run("top_k", 7, 32, x, values, indices, 150).gives(indices, order.astype("i4"))
    return plan.gives(values, np.take_along_axis(x, order, 1), ulps=0)


@case("""
extern "C" __global__ void count(const unsigned char* x, int* counts, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) atomicAdd(counts + x[i], 1);
}
extern "C" __global__ void offsets(int* counts) {
    __shared__ int s[256];
    int t = threadIdx.x, own = counts[t];
    s[t] = own;
    __syncthreads();
    for (int d = 1; d < 256; d <<= 1) { int v = t >= d ? s[t - d] : 0; __syncthreads(); s[t] += v; __syncthreads(); }
    counts[t] = s[t] - own;
}
extern "C" __global__ void scatter(const unsigned char* x, int* at, unsigned char* out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[atomicAdd(at + x[i], 1)] = x[i];
}
""")
def counting_sort(draw: Draw) -> Plan:
    x, counts, out = draw.bits("u1", 700), np.zeros(256, "i4"), blank("u1", 700)
    plan = (
        run("count", 6, 128, x, counts, 700)
        .then("offsets", 1, 256, counts)
        .then("scatter", 6, 128, x, counts, out, 700)
    )
    return plan.gives(out, np.sort(x))
