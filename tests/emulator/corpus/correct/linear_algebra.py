"""Matrix products, sparse products, stencils, n bodies."""

from __future__ import annotations

import numpy as np
from emulator.corpus.case import Collection, Draw, Plan, blank, run

cases = Collection()
case = cases.case
F = np.float32


@case("""
extern "C" __global__ void matmul(const float* a, const float* b, float* c, int m, int n, int k) {
    __shared__ float sa[16][16], sb[16][16];
    int x = threadIdx.x, y = threadIdx.y, row = blockIdx.y * 16 + y, col = blockIdx.x * 16 + x;
    float sum = 0.0f;
    for (int k0 = 0; k0 < k; k0 += 16) {
        sa[y][x] = row < m && k0 + x < k ? a[row * k + k0 + x] : 0.0f;
        sb[y][x] = k0 + y < k && col < n ? b[(k0 + y) * n + col] : 0.0f;
        __syncthreads();
        for (int j = 0; j < 16; ++j) sum += sa[y][j] * sb[j][x];
        __syncthreads();
    }
    if (row < m && col < n) c[row * n + col] = sum;
}
""")
def tiled_matmul(draw: Draw) -> Plan:
    a, b, c = draw.f32(45, 33), draw.f32(33, 50), blank("f4", 45, 50)
    return run("matmul", (4, 3), (16, 16), a, b, c, 45, 50, 33).gives(c, a.astype("f8") @ b)


@case("""
// 64 x 64 a block of 64 threads, 8 x 8 a thread in registers.
extern "C" __global__ void __launch_bounds__(64) sgemm(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c,
                                                       int m, int n, int k, float alpha, float beta) {
    __shared__ float sa[8][64], sb[8][64];
    int t = threadIdx.x, row0 = blockIdx.y * 64, col0 = blockIdx.x * 64, ty = t / 8 * 8, tx = t % 8 * 8;
    float acc[8][8] = {};
    for (int k0 = 0; k0 < k; k0 += 8) {
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            sa[i][t] = row0 + t < m && k0 + i < k ? a[(row0 + t) * k + k0 + i] : 0.0f;
            sb[i][t] = col0 + t < n && k0 + i < k ? b[(k0 + i) * n + col0 + t] : 0.0f;
        }
        __syncthreads();
#pragma unroll
        for (int kk = 0; kk < 8; ++kk) {
            float ra[8], rb[8];
#pragma unroll
            for (int i = 0; i < 8; ++i) { ra[i] = sa[kk][ty + i]; rb[i] = sb[kk][tx + i]; }
#pragma unroll
            for (int i = 0; i < 8; ++i)
#pragma unroll
                for (int j = 0; j < 8; ++j) acc[i][j] = fmaf(ra[i], rb[j], acc[i][j]);
        }
        __syncthreads();
    }
    for (int i = 0; i < 8; ++i)
        for (int j = 0; j < 8; ++j) {
            int r = row0 + ty + i, q = col0 + tx + j;
            if (r < m && q < n) c[r * n + q] = alpha * acc[i][j] + beta * c[r * n + q];
        }
}
""")
def sgemm_in_registers(draw: Draw) -> Plan:
    a, b, c = draw.f32(100, 40), draw.f32(40, 90), draw.f32(100, 90)
    want = 0.5 * (a.astype("f8") @ b) - 2.0 * c
    return run("sgemm", (2, 2), 64, a, b, c, 100, 90, 40, F(0.5), F(-2)).gives(c, want)


@case("""
// float4 loads, A transposed on the way into shared memory, two buffers.
extern "C" __global__ void sgemm(const float* a, const float* b, float* c, int n, int k) {
    __shared__ __align__(16) float sa[2][8][36], sb[2][8][32];
    int t = threadIdx.x, row = blockIdx.y * 32, col = blockIdx.x * 32, ty = t / 8 * 4, tx = t % 8 * 4;
    int ar = t / 2, ak = t % 2 * 4, bk = t / 8, bc = t % 8 * 4;
    float acc[4][4] = {};
    float4 fa = *(const float4*)(a + (row + ar) * k + ak), fb = *(const float4*)(b + bk * n + col + bc);
    int stage = 0;
    for (int k0 = 0; k0 < k; k0 += 8) {
        sa[stage][ak][ar] = fa.x; sa[stage][ak + 1][ar] = fa.y; sa[stage][ak + 2][ar] = fa.z; sa[stage][ak + 3][ar] = fa.w;
        *(float4*)&sb[stage][bk][bc] = fb;
        __syncthreads();
        if (k0 + 8 < k) {
            fa = *(const float4*)(a + (row + ar) * k + k0 + 8 + ak);
            fb = *(const float4*)(b + (k0 + 8 + bk) * n + col + bc);
        }
#pragma unroll
        for (int kk = 0; kk < 8; ++kk) {
            float4 x = *(const float4*)&sa[stage][kk][ty], y = *(const float4*)&sb[stage][kk][tx];
            float rx[4] = {x.x, x.y, x.z, x.w}, ry[4] = {y.x, y.y, y.z, y.w};
#pragma unroll
            for (int i = 0; i < 4; ++i)
#pragma unroll
                for (int j = 0; j < 4; ++j) acc[i][j] += rx[i] * ry[j];
        }
        stage ^= 1;
    }
    for (int i = 0; i < 4; ++i) *(float4*)(c + (row + ty + i) * n + col + tx) = make_float4(acc[i][0], acc[i][1], acc[i][2], acc[i][3]);
}
""")
def sgemm_vectorised_two_buffers(draw: Draw) -> Plan:
    a, b, c = draw.f32(64, 48), draw.f32(48, 96), blank("f4", 64, 96)
    return run("sgemm", (3, 2), 64, a, b, c, 96, 48).gives(c, a.astype("f8") @ b)


@case("""
extern "C" __global__ void jacobi(const double* u, const double* f, double* v, int n) {
    int i = blockIdx.y * blockDim.y + threadIdx.y + 1, j = blockIdx.x * blockDim.x + threadIdx.x + 1;
    if (i < n - 1 && j < n - 1)
        v[i * n + j] = 0.25 * (u[(i - 1) * n + j] + u[(i + 1) * n + j] + u[i * n + j - 1] + u[i * n + j + 1] - f[i * n + j]);
}
extern "C" __global__ void heat(const float* u, float* v, int nx, int ny, int nz, float k) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= nx || y >= ny) return;
    int plane = nx * ny, at = y * nx + x;
    float below = u[at], own = u[at], above;
    for (int z = 0; z < nz; ++z, at += plane) {          // marches up, three planes in registers
        above = z + 1 < nz ? u[at + plane] : own;
        float w = x > 0 ? u[at - 1] : own, e = x < nx - 1 ? u[at + 1] : own;
        float s = y > 0 ? u[at - nx] : own, n = y < ny - 1 ? u[at + nx] : own;
        v[at] = own + k * (w + e + s + n + below + above - 6.0f * own);
        below = own;
        own = above;
    }
}
""")
def stencils_in_2d_and_3d(draw: Draw) -> Plan:
    u, f = draw.f64(20, 20), draw.f64(20, 20)
    v, a, b = u.copy(), draw.f32(5, 6, 10), blank("f4", 5, 6, 10)
    want = u.copy()
    want[1:-1, 1:-1] = 0.25 * (u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - f[1:-1, 1:-1])
    p = np.pad(a.astype("f8"), 1, mode="edge")
    c = p[1:-1, 1:-1, 1:-1]
    around = (
        p[2:, 1:-1, 1:-1]
        + p[:-2, 1:-1, 1:-1]
        + p[1:-1, 2:, 1:-1]
        + p[1:-1, :-2, 1:-1]
        + p[1:-1, 1:-1, 2:]
        + p[1:-1, 1:-1, :-2]
    )
    plan = run("jacobi", (3, 3), (8, 8), u, f, v, 20).then("heat", (2, 1), (8, 8), a, b, 10, 6, 5, F(0.1))
    return plan.gives(v, want).gives(b, c + F(0.1) * (around - 6 * c))


@case("""
// A warp a row of a sparse matrix in CSR form.
extern "C" __global__ void spmv(const int* rows, const int* cols, const double* values, const double* x, double* y, int n) {
    int row = blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= n) return;
    double sum = 0;
    for (int i = rows[row] + threadIdx.x; i < rows[row + 1]; i += 32) sum += values[i] * x[cols[i]];
    for (int o = 16; o; o >>= 1) sum += __shfl_down_sync(~0u, sum, o);
    if (threadIdx.x == 0) y[row] = sum;
}
""")
def sparse_matrix_times_vector(draw: Draw) -> Plan:
    dense = draw.f64(21, 60) * (draw.rng.random((21, 60)) < 0.4)
    dense[4] = 0
    counts = (dense != 0).sum(1)
    rows = np.concatenate([[0], np.cumsum(counts)]).astype("i4")
    r, c = np.nonzero(dense)
    x, y = draw.f64(60), blank("f8", 21)
    return run("spmv", 6, (32, 4), rows, c.astype("i4"), dense[r, c], x, y, 21).gives(y, dense @ x)


@case("""
extern "C" __global__ void quantised(const int* a, const int* b, const float* scale, int* acc, float* out, int n, int k4) {
    int row = blockIdx.y * blockDim.y + threadIdx.y, col = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= n || col >= n) return;
    int sum = 0;
    for (int k = 0; k < k4; ++k) sum = __dp4a(a[row * k4 + k], b[col * k4 + k], sum);
    acc[row * n + col] = sum;
    out[row * n + col] = sum * scale[row] * 0.01f;
}
""")
def quantised_matmul(draw: Draw) -> Plan:
    a, b, scale = draw.bits("i1", 20, 48), draw.bits("i1", 20, 48), draw.uniform(0, 1, 20)
    acc, out = blank("i4", 20, 20), blank("f4", 20, 20)
    want = a.astype("i4") @ b.astype("i4").T
    plan = run("quantised", (2, 2), (16, 16), a, b, scale, acc, out, 20, 12).gives(acc, want)
    return plan.gives(out, want * scale[:, None].astype("f8") * F(0.01))


@case("""
extern "C" __global__ void bodies(const float4* p, float3* force, int n) {
    __shared__ float4 s[32];
    int i = blockIdx.x * 32 + threadIdx.x;
    float4 own = i < n ? p[i] : make_float4(0, 0, 0, 0);
    float3 f = make_float3(0, 0, 0);
    for (int base = 0; base < n; base += 32) {
        s[threadIdx.x] = base + threadIdx.x < n ? p[base + threadIdx.x] : make_float4(0, 0, 0, 0);
        __syncthreads();
#pragma unroll 8
        for (int j = 0; j < 32; ++j) {
            float dx = s[j].x - own.x, dy = s[j].y - own.y, dz = s[j].z - own.z;
            float inverse = rsqrtf(dx * dx + dy * dy + dz * dz + 0.01f), w = s[j].w * inverse * inverse * inverse;
            f.x += dx * w; f.y += dy * w; f.z += dz * w;
        }
        __syncthreads();
    }
    if (i < n) force[i] = f;
}
""")
def n_body(draw: Draw) -> Plan:
    p, out = np.abs(draw.f32(75, 4)), blank("f4", 75, 3)
    w = p.astype("f8")
    d = w[None, :, :3] - w[:, None, :3]
    weight = w[None, :, 3] / ((d**2).sum(2) + F(0.01)) ** 1.5
    return run("bodies", 3, 32, p, out, 75).gives(out, (d * weight[..., None]).sum(1), rtol=1e-4, atol=1e-3)
