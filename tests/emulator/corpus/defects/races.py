"""Races in shared memory (10) and between blocks in global memory (10)."""

from __future__ import annotations

import numpy as np
from emulator.corpus.case import Collection, Draw, Plan, blank, run

cases = Collection()
defect = cases.defect
F = np.float32
SHARED, GLOBAL = "shared race", "global race between blocks"


@defect(
    SHARED,
    """
extern "C" __global__ void reverse(const int* x, int* y) {
    __shared__ int s[128];
    int t = threadIdx.x;
    s[t] = 0;
    __syncthreads();
    s[t] = x[t];  // DEFECT shared_race
#ifdef FIXED
    __syncthreads();
#endif
    y[t] = s[127 - t];  // DEFECT shared_race
}
""",
)
def no_barrier_after_the_write(draw: Draw) -> Plan:
    x, y = draw.bits("i4", 128), blank("i4", 128)
    return run("reverse", 1, 128, x, y).gives(y, x[::-1])


@defect(
    SHARED,
    """
extern "C" __global__ void matmul(const float* a, const float* b, float* c, int n) {
    __shared__ float sa[16][16], sb[16][16];
    int x = threadIdx.x, y = threadIdx.y, row = blockIdx.y * 16 + y, col = blockIdx.x * 16 + x;
    float sum = 0.0f;
    for (int k = 0; k < n; k += 16) {
        sa[y][x] = a[row * n + k + x];  // DEFECT shared_race
        sb[y][x] = b[(k + y) * n + col];  // DEFECT shared_race
        __syncthreads();
        for (int j = 0; j < 16; ++j)
            sum += sa[y][j] * sb[j][x];  // DEFECT shared_race
#ifdef FIXED
        __syncthreads();
#endif
    }
    c[row * n + col] = sum;
}
""",
)
def tile_overwritten_while_in_use(draw: Draw) -> Plan:
    a, b, c = draw.f32(32, 32), draw.f32(32, 32), blank("f4", 32, 32)
    return run("matmul", (2, 2), (16, 16), a, b, c, 32).gives(c, a.astype("f8") @ b)


@defect(
    SHARED,
    """
extern "C" __global__ void last(const int* x, int* y) {
    __shared__ int s[2];
    int t = threadIdx.x;
#ifdef FIXED
    if (t == 63) s[0] = x[t];
#else
    s[0] = x[t];  // DEFECT shared_race
#endif
    __syncthreads();
    y[t] = s[0];
}
""",
)
def everybody_writes_something_else(draw: Draw) -> Plan:
    x, y = draw.bits("i4", 64), blank("i4", 64)
    return run("last", 1, 64, x, y).gives(y, np.full(64, x[63]))


@defect(
    SHARED,
    """
extern "C" __global__ void sum(const float* x, float* out) {
    __shared__ float s[256];
    int t = threadIdx.x;
    s[t] = x[t];
    __syncthreads();
    for (int h = 128; h > 0; h >>= 1) {
        if (t < h)
            s[t] += s[t + h];  // DEFECT shared_race
#ifdef FIXED
        __syncthreads();
#endif
    }
    if (t == 0) *out = s[0];  // FOLLOWS shared_race
}
""",
)
def tree_without_barriers(draw: Draw) -> Plan:
    x, out = draw.uniform(0, 1, 256), blank("f4", 1)
    return run("sum", 1, 256, x, out).gives(out, [x.astype("f8").sum()])


@defect(
    SHARED,
    """
extern "C" __global__ void sum(const int* x, int* out) {
    __shared__ int s[64];
    int t = threadIdx.x;
    s[t] = x[t];
    __syncthreads();
    if (t < 32) {
        for (int h = 32; h > 0; h >>= 1) {
#ifdef FIXED
            int v = s[t + h];
            __syncwarp();
            s[t] += v;
            __syncwarp();
#else
            s[t] += s[t + h];  // DEFECT shared_race
#endif
        }
        if (t == 0) *out = s[0];
    }
}
""",
)
def lockstep_taken_for_granted(draw: Draw) -> Plan:
    x, out = draw.ints("i4", -50, 50, 64), blank("i4", 1)
    return run("sum", 1, 64, x, out).gives(out, np.array([x.sum()], "i4"))


@defect(
    SHARED,
    """
extern "C" __global__ void histogram(const unsigned char* x, int* bins, int n) {
    __shared__ int s[8];
    int t = threadIdx.x;
    if (t < 8) s[t] = 0;
    __syncthreads();
    for (int i = t; i < n; i += blockDim.x) {
#ifdef FIXED
        atomicAdd(&s[x[i] % 8], 1);
#else
        s[x[i] % 8] += 1;  // DEFECT shared_race
#endif
    }
    __syncthreads();
    if (t < 8) bins[t] = s[t];
}
""",
)
def counting_without_atomics(draw: Draw) -> Plan:
    x, bins = draw.bits("u1", 300), blank("i4", 8)
    return run("histogram", 1, 96, x, bins, 300).gives(bins, np.bincount(x % 8, minlength=8).astype("i4"))


@defect(
    SHARED,
    """
extern "C" __global__ void scan(const int* x, int* y) {
    __shared__ int s[128];
    int t = threadIdx.x;
    s[t] = x[t];
    __syncthreads();
    for (int d = 1; d < 128; d *= 2) {
        int v = t >= d ? s[t - d] : 0;  // DEFECT shared_race
#ifdef FIXED
        __syncthreads();
#endif
        s[t] += v;  // DEFECT shared_race
        __syncthreads();
    }
    y[t] = s[t];
}
""",
)
def scan_with_one_barrier_too_few(draw: Draw) -> Plan:
    x, y = draw.ints("i4", -50, 50, 128), blank("i4", 128)
    return run("scan", 1, 128, x, y).gives(y, np.cumsum(x).astype("i4"))


@defect(
    SHARED,
    """
extern "C" __global__ void mean(const float* x, float* y) {
    __shared__ float s[64], mean;
    int t = threadIdx.x;
    if (t == 0) mean = 0.0f;
    s[t] = x[t];
    __syncthreads();
    if (t == 63) {
        float sum = 0.0f;
        for (int i = 0; i < 64; ++i) sum += s[i];
        mean = sum / 64;  // DEFECT shared_race
    }
#ifdef FIXED
    __syncthreads();
#endif
    y[t] = x[t] - mean;  // DEFECT shared_race
}
""",
)
def result_used_before_it_is_there(draw: Draw) -> Plan:
    x, y = draw.f32(64), blank("f4", 64)
    return run("mean", 1, 64, x, y).gives(y, x - x.astype("f8").mean())


@defect(
    SHARED,
    """
extern "C" __global__ void stencil(const float* x, float* y, int steps) {
    __shared__ float s[2][66];
    int t = threadIdx.x;
    s[0][t + 1] = x[t];
    s[1][t + 1] = 0.0f;
    if (t == 0) s[0][0] = s[0][65] = s[1][0] = s[1][65] = 0.0f;
    __syncthreads();
    for (int k = 0; k < steps; ++k) {
        const float* from = s[k & 1];
#ifdef FIXED
        float* to = s[(k + 1) & 1];
#else
        float* to = s[k & 1];
#endif
        to[t + 1] = 0.5f * (from[t] + from[t + 2]);  // DEFECT shared_race
        __syncthreads();
    }
    y[t] = s[steps & 1][t + 1];
}
""",
)
def both_buffers_the_same(draw: Draw) -> Plan:
    x, y = draw.f32(64), blank("f4", 64)
    state = np.pad(x.astype("f8"), 1)
    for _ in range(4):
        state[1:-1] = 0.5 * (state[:-2] + state[2:])
    return run("stencil", 1, 64, x, y, 4).gives(y, state[1:-1])


@defect(
    SHARED,
    """
extern "C" __global__ void queue(const int* x, int* y, int* n) {
    __shared__ int length, items[64];
    int t = threadIdx.x;
    if (t == 0) length = 0;
    __syncthreads();
    if (x[t] > 0) {
#ifdef FIXED
        int at = atomicAdd(&length, 1);
#else
        int at = length++;  // DEFECT shared_race
#endif
        items[at] = x[t];  // FOLLOWS shared_race
    }
    __syncthreads();
    if (t == 0) { int s = 0; for (int i = 0; i < length; ++i) s += items[i]; *y = s; *n = length; }
}
""",
)
def queue_without_atomics(draw: Draw) -> Plan:
    x, y, n = draw.ints("i4", -50, 50, 64), blank("i4", 1), blank("i4", 1)
    kept = x[x > 0]
    plan = run("queue", 1, 64, x, y, n).gives(y, np.array([kept.sum()], "i4"))
    return plan.gives(n, np.array([kept.size], "i4"))


@defect(
    GLOBAL,
    """
extern "C" __global__ void count(int* total) {
    if (threadIdx.x == 0) {
#ifdef FIXED
        atomicAdd(total, 1);
#else
        *total = *total + 1;  // DEFECT global_race
#endif
    }
}
""",
)
def counter_of_blocks(draw: Draw) -> Plan:
    total = np.zeros(1, "i4")
    return run("count", 20, 32, total).gives(total, np.array([20], "i4"))


@defect(
    GLOBAL,
    """
extern "C" __global__ void smooth(const float* in, float* x, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < 1 || i >= n - 1) return;
#ifdef FIXED
    x[i] = 0.25f * in[i - 1] + 0.5f * in[i] + 0.25f * in[i + 1];
#else
    x[i] = 0.25f * x[i - 1] + 0.5f * x[i] + 0.25f * x[i + 1];  // DEFECT global_race
#endif
}
""",
)
def stencil_in_place(draw: Draw) -> Plan:
    a = draw.f32(256)
    x, w = a.copy(), a.astype("f8")
    want = w.copy()
    want[1:-1] = 0.25 * w[:-2] + 0.5 * w[1:-1] + 0.25 * w[2:]
    return run("smooth", 4, 64, a, x, 256).gives(x, want)


@defect(
    GLOBAL,
    """
extern "C" __global__ void last(const int* x, int* y) {
#ifdef FIXED
    if (blockIdx.x == gridDim.x - 1)
#endif
    if (threadIdx.x == 0)
        *y = x[blockIdx.x];  // DEFECT global_race
}
""",
)
def every_block_writes_the_result(draw: Draw) -> Plan:
    x, y = np.arange(8, dtype="i4") * 5, blank("i4", 1)
    return run("last", 8, 32, x, y).gives(y, np.array([35], "i4"))


@defect(
    GLOBAL,
    """
extern "C" __global__ void histogram(const unsigned char* x, int* bins, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i % 32 == 0 && i < n) {
#ifdef FIXED
        atomicAdd(&bins[x[i] % 4], 1);
#else
        bins[x[i] % 4] += 1;  // DEFECT global_race
#endif
    }
}
""",
)
def bins_without_atomics(draw: Draw) -> Plan:
    x, bins = draw.bits("u1", 640), np.zeros(4, "i4")
    return run("histogram", 20, 32, x, bins, 640).gives(bins, np.bincount(x[::32] % 4, minlength=4).astype("i4"))


@defect(
    GLOBAL,
    """
#ifdef FIXED
#define COUNT 64
#else
#define COUNT 65
#endif
extern "C" __global__ void tiles(const float* x, float* y) {
    int base = blockIdx.x * 64;
    for (int i = threadIdx.x; i < COUNT; i += 32)
        if (base + i < 256) y[base + i] = x[base + i] * (blockIdx.x + 1);  // DEFECT global_race
}
""",
)
def tiles_that_overlap_by_one(draw: Draw) -> Plan:
    x, y = draw.f32(256), blank("f4", 256)
    return run("tiles", 4, 32, x, y).gives(y, x * (np.arange(256) // 64 + 1.0))


@defect(
    GLOBAL,
    """
extern "C" __global__ void transpose(const float* in, float* m, int n) {
    int x = blockIdx.x * 8 + threadIdx.x, y = blockIdx.y * 8 + threadIdx.y;
#ifdef FIXED
    m[x * n + y] = in[y * n + x];
#else
    float v = m[y * n + x];  // DEFECT global_race
    m[x * n + y] = v;  // DEFECT global_race
#endif
}
""",
)
def transpose_in_place(draw: Draw) -> Plan:
    a = draw.f32(32, 32)
    m = a.copy()
    return run("transpose", (4, 4), (8, 8), a, m, 32).gives(m, a.T, ulps=0)


@defect(
    GLOBAL,
    """
extern "C" __global__ void largest(const int* x, int* best) {
    int v = __reduce_max_sync(~0u, x[blockIdx.x * 32 + threadIdx.x]);
    if (threadIdx.x == 0) {
#ifdef FIXED
        atomicMax(best, v);
#else
        if (v > *best)  // DEFECT global_race
            *best = v;  // DEFECT global_race
#endif
    }
}
""",
)
def maximum_without_atomics(draw: Draw) -> Plan:
    x, best = draw.bits("i4", 320), np.full(1, -(2**31), "i4")
    return run("largest", 10, 32, x, best).gives(best, np.array([x.max()], "i4"))


@defect(
    GLOBAL,
    """
extern "C" __global__ void chain(const int* x, int* y) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
#ifdef FIXED
    int sum = 0;
    for (int k = i; k >= 0; k -= blockDim.x) sum += x[k];
    y[i] = sum;
#else
    int before = blockIdx.x > 0 ? y[i - blockDim.x] : 0;  // DEFECT global_race
    y[i] = before + x[i];  // DEFECT global_race
#endif
}
""",
)
def block_that_needs_the_one_before(draw: Draw) -> Plan:
    x, y = draw.ints("i4", -50, 50, 256), blank("i4", 256)
    return run("chain", 4, 64, x, y).gives(y, np.cumsum(x.reshape(4, 64), 0).reshape(-1).astype("i4"))


@defect(
    GLOBAL,
    """
extern "C" __global__ void split_k(const float* a, const float* b, float* c, int n, int k) {
    int i = threadIdx.y, j = threadIdx.x, each = k / gridDim.x;
    float sum = 0.0f;
    for (int q = blockIdx.x * each; q < (blockIdx.x + 1) * each; ++q) sum += a[i * k + q] * b[q * n + j];
#ifdef FIXED
    atomicAdd(&c[i * n + j], sum);
#else
    c[i * n + j] += sum;  // DEFECT global_race
#endif
}
""",
)
def split_sum_without_atomics(draw: Draw) -> Plan:
    a, b, c = draw.f32(8, 32), draw.f32(32, 8), np.zeros((8, 8), "f4")
    return run("split_k", 4, (8, 8), a, b, c, 8, 32).gives(c, a.astype("f8") @ b)


@defect(
    GLOBAL,
    """
__device__ unsigned finished = 0;
extern "C" __global__ void sum(const int* x, int* parts, int* out) {
    int v = __reduce_add_sync(~0u, x[blockIdx.x * 32 + threadIdx.x]);
    if (threadIdx.x != 0) return;
    parts[blockIdx.x] = v;  // DEFECT global_race
#ifdef FIXED
    __threadfence();
    bool last = atomicAdd(&finished, 1) == gridDim.x - 1;
#else
    bool last = blockIdx.x == gridDim.x - 1;
#endif
    if (last) {
        int s = 0;
        for (int b = 0; b < gridDim.x; ++b)
            s += ((volatile int*)parts)[b];  // DEFECT global_race
        *out = s;
    }
}
""",
)
def last_block_by_number(draw: Draw) -> Plan:
    x, parts, out = draw.ints("i4", -50, 50, 256), blank("i4", 8), blank("i4", 1)
    return run("sum", 8, 32, x, parts, out).gives(out, np.array([x.sum()], "i4"))
