"""Shared memory that is read before anybody wrote it (10)."""

from __future__ import annotations

import numpy as np
from emulator.corpus.case import Collection, Draw, Plan, blank, run

cases = Collection()
defect = cases.defect
F = np.float32
KIND = "uninitialised read"


@defect(
    KIND,
    """
extern "C" __global__ void sum(const float* x, float* out, int n) {
    __shared__ float s[128];
    int t = threadIdx.x;
    if (t < n) s[t] = x[t];
#ifdef FIXED
    else s[t] = 0.0f;
#endif
    __syncthreads();
    for (int h = 64; h; h >>= 1) {
        if (t < h)
            s[t] += s[t + h];  // DEFECT uninitialised_read
        __syncthreads();
    }
    if (t == 0) *out = s[0];
}
""",
)
def tail_of_a_tile_not_filled(draw: Draw) -> Plan:
    x, out = draw.uniform(0, 1, 100), blank("f4", 1)
    return run("sum", 1, 128, x, out, 100).gives(out, [x.astype("f8").sum()])


@defect(
    KIND,
    """
extern "C" __global__ void histogram(const unsigned char* x, int* bins, int n) {
    __shared__ int s[32];
    int t = threadIdx.x;
#ifdef FIXED
    if (t < 32) s[t] = 0;
    __syncthreads();
#endif
    for (int i = t; i < n; i += blockDim.x)
        atomicAdd(&s[x[i] % 32], 1);  // DEFECT uninitialised_read
    __syncthreads();
    if (t < 32) bins[t] = s[t];  // FOLLOWS uninitialised_read
}
""",
)
def counters_not_cleared(draw: Draw) -> Plan:
    x, bins = draw.bits("u1", 500), blank("i4", 32)
    return run("histogram", 1, 64, x, bins, 500).gives(bins, np.bincount(x % 32, minlength=32).astype("i4"))


@defect(
    KIND,
    """
extern "C" __global__ void blur(const float* x, float* y) {
    __shared__ float s[66];
    int t = threadIdx.x;
    s[t + 1] = x[t];
#ifdef FIXED
    if (t == 0) s[0] = s[65] = 0.0f;
#endif
    __syncthreads();
    y[t] = s[t] + s[t + 1] + s[t + 2];  // DEFECT uninitialised_read
}
""",
)
def halo_not_filled(draw: Draw) -> Plan:
    x, y = draw.f32(64), blank("f4", 64)
    p = np.pad(x.astype("f8"), 1)
    return run("blur", 1, 64, x, y).gives(y, p[:-2] + p[1:-1] + p[2:])


@defect(
    KIND,
    """
extern "C" __global__ void sum(const int* x, int* out) {
    __shared__ int part[32];
    int t = threadIdx.x, v = __reduce_add_sync(~0u, x[t]);
    if (t % 32 == 0) part[t / 32] = v;
    __syncthreads();
    if (t < 32) {
#ifdef FIXED
        int p = t < blockDim.x / 32 ? part[t] : 0;
#else
        int p = part[t];  // DEFECT uninitialised_read
#endif
        p = __reduce_add_sync(~0u, p);
        if (t == 0) *out = p;
    }
}
""",
)
def more_slots_than_warps(draw: Draw) -> Plan:
    x, out = draw.ints("i4", -50, 50, 128), blank("i4", 1)
    return run("sum", 1, 128, x, out).gives(out, np.array([x.sum()], "i4"))


@defect(
    KIND,
    """
extern "C" __global__ void rows(const float* x, float* y, int width) {
    extern __shared__ float s[];
    int t = threadIdx.x;
#ifdef FIXED
    for (int i = t; i < width; i += blockDim.x) s[i] = x[i];
#else
    if (t < width) s[t] = x[t];
#endif
    __syncthreads();
    for (int i = t; i < width; i += blockDim.x)
        y[i] = s[width - 1 - i];  // DEFECT uninitialised_read
}
""",
)
def loop_forgotten_on_one_side(draw: Draw) -> Plan:
    x, y = draw.f32(100), blank("f4", 100)
    return run("rows", 1, 32, x, y, 100, shared=400).gives(y, x[::-1], ulps=0)


@defect(
    KIND,
    """
extern "C" __global__ void spread(const int* x, int* y) {
    __shared__ int s[64];
    int t = threadIdx.x;
#ifdef FIXED
    s[t] = x[t];
#else
    s[2 * t % 64] = x[t];
#endif
    __syncthreads();
    y[t] = s[t ^ 1];  // DEFECT uninitialised_read
}
""",
)
def written_at_another_index(draw: Draw) -> Plan:
    x, y = draw.bits("i4", 32), blank("i4", 32)
    return run("spread", 1, 32, x, y).gives(y, x[np.arange(32) ^ 1])


@defect(
    KIND,
    """
extern "C" __global__ void find(const int* x, int* y, int key) {
    __shared__ int found;
    int t = threadIdx.x;
#ifdef FIXED
    if (t == 0) found = -1;
    __syncthreads();
#endif
    if (x[t] == key) found = t;
    __syncthreads();
    y[t] = found;  // DEFECT uninitialised_read
}
""",
)
def flag_set_only_when_found(draw: Draw) -> Plan:
    x, y = draw.ints("i4", 0, 100, 64), blank("i4", 64)
    return run("find", 1, 64, x, y, 1000).gives(y, np.full(64, -1, "i4"))


@defect(
    KIND,
    """
extern "C" __global__ void smooth(const float* x, float* y, int tiles) {
    __shared__ float s[2][32];
    int t = threadIdx.x;
#ifdef FIXED
    s[0][t] = x[t];
    __syncthreads();
#endif
    float sum = 0.0f;
    for (int k = 0; k < tiles; ++k) {
        if (k + 1 < tiles) s[(k + 1) & 1][t] = x[(k + 1) * 32 + t];
        sum += s[k & 1][31 - t];  // DEFECT uninitialised_read
        __syncthreads();
    }
    y[t] = sum;
}
""",
)
def first_buffer_not_loaded(draw: Draw) -> Plan:
    x, y = draw.f32(4, 32), blank("f4", 32)
    return run("smooth", 1, 32, x, y, 4).gives(y, x.astype("f8").sum(0)[::-1])


@defect(
    KIND,
    """
struct Best { float value; int index; };
extern "C" __global__ void argmax(const float* x, float* value, int* index) {
    __shared__ Best s[64];
    int t = threadIdx.x;
    s[t].value = x[t];
#ifdef FIXED
    s[t].index = t;
#endif
    __syncthreads();
    for (int h = 32; h; h >>= 1) {
        if (t < h && s[t + h].value > s[t].value) {
            s[t].value = s[t + h].value;
            s[t].index = s[t + h].index;  // DEFECT uninitialised_read
        }
        __syncthreads();
    }
    if (t == 0) {
        *value = s[0].value;
        *index = s[0].index;  // DEFECT uninitialised_read
    }
}
""",
)
def one_field_of_a_struct(draw: Draw) -> Plan:
    x, value, index = draw.f32(64), blank("f4", 1), blank("i4", 1)
    x[40] = 9.0
    plan = run("argmax", 1, 64, x, value, index).gives(value, [9.0])
    return plan.gives(index, np.array([40], "i4"))


@defect(
    KIND,
    """
extern "C" __global__ void tile(const double* x, double* y, int n) {
    __shared__ double s[16][17];
    int c = threadIdx.x, r = threadIdx.y;
    if (r < n && c < n) s[r][c] = x[r * n + c];
    __syncthreads();
    double sum = 0.0;
#ifdef FIXED
    int depth = n;
#else
    int depth = 16;
#endif
    if (r == 0 && c < n) {
        for (int k = 0; k < depth; ++k)
            sum += s[k][c];  // DEFECT uninitialised_read
        y[c] = sum;
    }
}
""",
)
def edge_of_a_two_dimensional_tile(draw: Draw) -> Plan:
    x, y = draw.f64(13, 13), blank("f8", 13)
    return run("tile", 1, (16, 16), x, y, 13).gives(y, x.sum(0))
