"""Accesses out of bounds in global memory (10) and in shared memory (10)."""

from __future__ import annotations

import numpy as np
from emulator.corpus.case import Collection, Draw, Plan, blank, run

cases = Collection()
defect = cases.defect
F = np.float32
GLOBAL, SHARED = "out of bounds, global", "out of bounds, shared"


@defect(
    GLOBAL,
    """
extern "C" __global__ void axpy(float a, const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
#ifdef FIXED
    if (i < n)
#endif
    y[i] = a * x[i];  // DEFECT out_of_bounds
}
""",
)
def tail_not_guarded(draw: Draw) -> Plan:
    x, y = draw.f32(200), blank("f4", 200)
    return run("axpy", 2, 128, F(2), x, y, 200).gives(y, 2.0 * x)


@defect(
    GLOBAL,
    """
#ifdef FIXED
#define LAST <
#else
#define LAST <=
#endif
extern "C" __global__ void sums(const float* x, float* out, int rows, int width) {
    int r = threadIdx.x;
    if (r >= rows) return;
    float s = 0.0f;
    const float* row = x + r * width;
    for (int i = 0; i LAST width; ++i)
        s += row[i];  // DEFECT out_of_bounds
    out[r] = s;
}
""",
)
def one_past_the_end(draw: Draw) -> Plan:
    x, out = draw.f32(6, 17), blank("f4", 6)
    return run("sums", 1, 32, x, out, 6, 17).gives(out, x.astype("f8").sum(1), ulps=32)


@defect(
    GLOBAL,
    """
extern "C" __global__ void difference(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
#ifdef FIXED
    float before = i > 0 ? x[i - 1] : 0.0f;
#else
    float before = x[i - 1];  // DEFECT out_of_bounds
#endif
    y[i] = x[i] - before;
}
""",
)
def before_the_beginning(draw: Draw) -> Plan:
    x, y = draw.f32(100), blank("f4", 100)
    return run("difference", 1, 128, x, y, 100).gives(y, np.diff(x.astype("f8"), prepend=0))


@defect(
    GLOBAL,
    """
extern "C" __global__ void negate(const float4* x, float4* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
#ifdef FIXED
    int quads = n / 4;
    if (i == 0) for (int k = quads * 4; k < n; ++k) ((float*)y)[k] = -((const float*)x)[k];
#else
    int quads = (n + 3) / 4;
#endif
    if (i < quads) {
        float4 v = x[i];  // DEFECT out_of_bounds
        y[i] = make_float4(-v.x, -v.y, -v.z, -v.w);  // DEFECT out_of_bounds
    }
}
""",
)
def vector_over_the_tail(draw: Draw) -> Plan:
    x, y = draw.f32(1002), blank("f4", 1002)
    return run("negate", 2, 128, x, y, 1002).gives(y, -x)


@defect(
    GLOBAL,
    """
extern "C" __global__ void transpose(const float* in, float* out, int rows, int cols) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
#ifdef FIXED
    if (x < cols && y < rows)
#else
    if (x < rows && y < cols)
#endif
        out[x * rows + y] = in[y * cols + x];  // DEFECT out_of_bounds, FOLLOWS global_race
}
""",
)
def rows_and_columns_swapped(draw: Draw) -> Plan:
    a, b = draw.f32(10, 30), blank("f4", 30, 10)
    return run("transpose", (4, 4), (8, 8), a, b, 10, 30).gives(b, a.T, ulps=0)


@defect(
    GLOBAL,
    """
extern "C" __global__ void histogram(const int* x, int* bins, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
#ifdef FIXED
    int b = min(max(x[i], 0), 15);
#else
    int b = x[i];
#endif
    atomicAdd(bins + b, 1);  // DEFECT out_of_bounds
}
""",
)
def bin_not_clamped(draw: Draw) -> Plan:
    x, bins = draw.ints("i4", -3, 20, 300), np.zeros(16, "i4")
    return run("histogram", 3, 128, x, bins, 300).gives(bins, np.bincount(np.clip(x, 0, 15), minlength=16).astype("i4"))


@defect(
    GLOBAL,
    """
extern "C" __global__ void gather(const float* table, const long long* index, float* out, int n, int rows) {
    int i = threadIdx.x;
    if (i >= n) return;
    long long r = index[i];
#ifdef FIXED
    if (r < 0) r += rows;
#endif
    out[i] = table[r];  // DEFECT out_of_bounds
}
""",
)
def negative_index_from_data(draw: Draw) -> Plan:
    table, index, out = draw.f32(40), draw.ints("i8", 0, 40, 60), blank("f4", 60)
    index[[7, 33]] = [-2, -40]
    return run("gather", 1, 64, table, index, out, 60, 40).gives(out, table[index], ulps=0)


@defect(
    GLOBAL,
    """
extern "C" __global__ void expand(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
#ifdef FIXED
    if (2 * i + 1 < n)
#else
    if (i < n)
#endif
    {
        y[2 * i] = x[i];  // DEFECT out_of_bounds
        y[2 * i + 1] = -x[i];  // DEFECT out_of_bounds
    }
}
""",
)
def guard_of_another_size(draw: Draw) -> Plan:
    x, y = draw.f32(128), blank("f4", 128)
    return run("expand", 1, 128, x, y, 128).gives(y, np.stack([x[:64], -x[:64]], 1).reshape(-1))


@defect(
    GLOBAL,
    """
extern "C" __global__ void scale(const double* x, double* y, int n) {
    int i = threadIdx.x;
    if (i >= n) return;
#ifdef FIXED
    const char* at = (const char*)x + i * sizeof(double);
#else
    const char* at = (const char*)(x + i * sizeof(double));
#endif
    y[i] = *(const double*)at * 3.0;  // DEFECT out_of_bounds
}
""",
)
def bytes_taken_for_elements(draw: Draw) -> Plan:
    x, y = draw.f64(64), blank("f8", 64)
    return run("scale", 1, 64, x, y, 64).gives(y, 3 * x)


@defect(
    GLOBAL,
    """
struct View { const float* data; int rows, stride; };
extern "C" __global__ void row_max(View v, float* out, int width) {
    int r = blockIdx.x * blockDim.x + threadIdx.x;
    if (r >= v.rows) return;
#ifdef FIXED
    const float* row = v.data + r * v.stride;
#else
    const float* row = v.data + (r + 1) * v.stride;
#endif
    float m = -1e30f;
#pragma unroll 1
    for (int i = 0; i < width; ++i)
        m = fmaxf(m, row[i]);  // DEFECT out_of_bounds
    out[r] = m;
}
""",
)
def row_after_the_last(draw: Draw) -> Plan:
    x, out = draw.f32(9, 12), blank("f4", 9)
    view = np.zeros(1, np.dtype([("data", "u8"), ("rows", "i4"), ("stride", "i4")]))
    view[0] = (x.ctypes.data, 9, 12)
    return run("row_max", 1, 32, view[0], out, 10).reaches(x).gives(out, x[:, :10].max(1), ulps=0)


@defect(
    SHARED,
    """
#ifdef FIXED
#define SIZE 66
#else
#define SIZE 64
#endif
extern "C" __global__ void blur(const float* x, float* y) {
    __shared__ float s[SIZE];
    int t = threadIdx.x;
    s[t] = x[t];
    if (t < 2)
        s[64 + t] = 0.0f;  // DEFECT out_of_bounds
    __syncthreads();
    y[t] = s[t] + s[t + 1] + s[t + 2];  // DEFECT out_of_bounds
}
""",
)
def halo_without_room(draw: Draw) -> Plan:
    x, y = draw.f32(64), blank("f4", 64)
    p = np.pad(x.astype("f8"), (0, 2))
    return run("blur", 1, 64, x, y).gives(y, p[:64] + p[1:65] + p[2:])


@defect(
    SHARED,
    """
#ifdef FIXED
#define WIDE 32
#else
#define WIDE 16
#endif
extern "C" __global__ void flip(const int* x, int* y) {
    __shared__ int tile[8][WIDE];
    int c = threadIdx.x, r = threadIdx.y;
    if (r == 7)
        tile[r][c] = x[c];  // DEFECT out_of_bounds
    __syncthreads();
    if (r == 7)
        y[c] = tile[7][31 - c];  // DEFECT out_of_bounds
}
""",
)
def tile_narrower_than_the_block(draw: Draw) -> Plan:
    x, y = draw.bits("i4", 32), blank("i4", 32)
    return run("flip", 1, (32, 8), x, y).gives(y, x[::-1])


@defect(
    SHARED,
    """
extern "C" __global__ void reverse(const double* x, double* y) {
    extern __shared__ double s[];
    int t = threadIdx.x;
#ifdef FIXED
    if (t < 32)
#endif
    s[t] = x[t];  // DEFECT out_of_bounds
    __syncthreads();
    y[t] = s[31 - t % 32];
}
""",
)
def dynamic_memory_too_small(draw: Draw) -> Plan:
    x, y = draw.f64(64), blank("f8", 64)
    return run("reverse", 1, 64, x, y, shared=256).gives(y, np.tile(x[:32][::-1], 2), ulps=0)


@defect(
    SHARED,
    """
#ifdef FIXED
#define WARPS 8
#else
#define WARPS 4
#endif
extern "C" __global__ void sum(const int* x, int* out) {
    __shared__ int part[WARPS];
    int v = __reduce_add_sync(~0u, x[threadIdx.x]);
    if (threadIdx.x % 32 == 0)
        part[threadIdx.x / 32] = v;  // DEFECT out_of_bounds
    __syncthreads();
    if (threadIdx.x == 0) {
        int s = 0;
        for (int w = 0; w < WARPS; ++w) s += part[w];
        *out = s;
    }
}
""",
)
def more_warps_than_slots(draw: Draw) -> Plan:
    x, out = draw.ints("i4", -50, 50, 256), blank("i4", 1)
    return run("sum", 1, 256, x, out).gives(out, np.array([x.sum()], "i4"))


@defect(
    SHARED,
    """
extern "C" __global__ void histogram(const unsigned char* x, int* bins, int n) {
    __shared__ int s[16];
    if (threadIdx.x < 16) s[threadIdx.x] = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
#ifdef FIXED
        int b = x[i] >> 4;
#else
        int b = x[i] >> 3;
#endif
        atomicAdd(&s[b], 1);  // DEFECT out_of_bounds
    }
    __syncthreads();
    if (threadIdx.x < 16) bins[threadIdx.x] = s[threadIdx.x];
}
""",
)
def shared_bin_too_large(draw: Draw) -> Plan:
    x, bins = draw.bits("u1", 400), blank("i4", 16)
    return run("histogram", 1, 64, x, bins, 400).gives(bins, np.bincount(x >> 4, minlength=16).astype("i4"))


@defect(
    SHARED,
    """
extern "C" __global__ void scan(const int* x, int* y) {
    __shared__ int s[64];
    int t = threadIdx.x;
    s[t] = x[t];
    __syncthreads();
    for (int d = 1; d < 64; d *= 2) {
        int v = 0;
#ifdef FIXED
        if (t >= d)
#endif
        v = s[t - d];  // DEFECT out_of_bounds
        __syncthreads();
        s[t] += v;
        __syncthreads();
    }
    y[t] = s[t];
}
""",
)
def negative_index_in_a_scan(draw: Draw) -> Plan:
    x, y = draw.ints("i4", -50, 50, 64), blank("i4", 64)
    return run("scan", 1, 64, x, y).gives(y, np.cumsum(x).astype("i4"))


@defect(
    SHARED,
    """
#ifdef FIXED
#define MORE <
#else
#define MORE <=
#endif
extern "C" __global__ void clear(int* out, int n) {
    __shared__ int s[48];
    for (int i = threadIdx.x; i MORE n; i += 32)
        s[i] = i * 3;  // DEFECT out_of_bounds
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += 32) out[i] = s[n - 1 - i];
}
""",
)
def loop_one_too_far(draw: Draw) -> Plan:
    out = blank("i4", 48)
    return run("clear", 1, 32, out, 48).gives(out, 3 * (47 - np.arange(48, dtype="i4")))


@defect(
    SHARED,
    """
extern "C" __global__ void neighbours(const float* x, const float* z, float* y, int n) {
    __shared__ float a[32], b[32];
    int t = threadIdx.x;
    a[t] = x[t];
    b[t] = z[t];
    __syncthreads();
    float s = 0.0f;
#ifdef FIXED
    for (int k = 0; k < n && t + k < 32; ++k)
#else
    for (int k = 0; k < n; ++k)
#endif
        s += a[t + k];  // DEFECT out_of_bounds
    y[t] = s + b[t];
}
""",
)
def from_one_array_into_the_next(draw: Draw) -> Plan:
    x, z, y = draw.f32(32), draw.f32(32), blank("f4", 32)
    p = np.pad(x.astype("f8"), (0, 2))
    return run("neighbours", 1, 32, x, z, y, 3).gives(y, p[:32] + p[1:33] + p[2:] + z)


@defect(
    SHARED,
    """
extern "C" __global__ void split(const float* x, float* y, int n) {
    extern __shared__ float pool[];
    float* first = pool;
#ifdef FIXED
    float* second = pool + n;
#else
    float* second = pool + 2 * n;
#endif
    int t = threadIdx.x;
    first[t] = x[t];
    second[t] = -x[t];  // DEFECT out_of_bounds
    __syncthreads();
    y[t] = first[n - 1 - t];
    y[n + t] = second[n - 1 - t];  // DEFECT out_of_bounds
}
""",
)
def second_part_placed_too_far(draw: Draw) -> Plan:
    x, y = draw.f32(64), blank("f4", 128)
    return run("split", 1, 64, x, y, 64, shared=512).gives(y, np.concatenate([x[::-1], -x[::-1]]), ulps=0)


@defect(
    SHARED,
    """
extern "C" __global__ void quads(const float4* x, float* y, int n) {
    __shared__ __align__(16) float s[120];
#ifdef FIXED
    int count = n / 4;
#else
    int count = n / 4 + 1;
#endif
    int t = threadIdx.x;
    if (t < count)
        reinterpret_cast<float4*>(s)[t] = x[t];  // DEFECT out_of_bounds
    __syncthreads();
    for (int i = t; i < n; i += 32) y[i] = s[n - 1 - i];
}
""",
)
def vector_store_past_the_end(draw: Draw) -> Plan:
    x, y = draw.f32(128), blank("f4", 120)
    return run("quads", 1, 32, x, y, 120).gives(y, x[:120][::-1], ulps=0)
