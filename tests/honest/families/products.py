"""Matrix products: naive, tiled, register-blocked, a warp per element, split over k, on tensor cores."""

from __future__ import annotations

from honest.kernel import Honest, module, task

NAIVE = r"""
extern "C" __global__ void matmul(const float* a, const float* b, float* y, int m, int n, int k) {
    int col = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
    if (row >= m || col >= n) return;
    float sum = 0.0f;
    for (int i = 0; i < k; ++i) sum += a[row * k + i] * b[i * n + col];
    y[row * n + col] = sum;
}
"""
TILED = r"""
#define TILE 8
extern "C" __global__ void matmul(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ y, int m, int n, int k) {
    __shared__ float left[TILE][TILE], right[TILE][TILE + 1];
    int tx = threadIdx.x, ty = threadIdx.y;
    int row = blockIdx.y * TILE + ty, col = blockIdx.x * TILE + tx;
    float sum = 0.0f;
    for (int start = 0; start < k; start += TILE) {
        left[ty][tx] = row < m && start + tx < k ? a[row * k + start + tx] : 0.0f;
        right[ty][tx] = start + ty < k && col < n ? b[(start + ty) * n + col] : 0.0f;
        __syncthreads();
#pragma unroll
        for (int i = 0; i < TILE; ++i) sum = fmaf(left[ty][i], right[i][tx], sum);
        __syncthreads();
    }
    if (row < m && col < n) y[row * n + col] = sum;
}
"""
BLOCKED = r"""
// 16 x 16 outputs a block, 2 x 2 a thread
extern "C" __global__ void matmul(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ y, int m, int n, int k) {
    __shared__ float left[8][16], right[8][16];
    int thread = threadIdx.y * 8 + threadIdx.x;
    int row0 = blockIdx.y * 16, col0 = blockIdx.x * 16;
    float sums[2][2] = {};
    for (int start = 0; start < k; start += 8) {
        for (int i = thread; i < 128; i += 64) {
            int r = i / 8, c = i % 8;
            left[c][r] = row0 + r < m && start + c < k ? a[(row0 + r) * k + start + c] : 0.0f;
            int rr = i / 16, cc = i % 16;
            right[rr][cc] = start + rr < k && col0 + cc < n ? b[(start + rr) * n + col0 + cc] : 0.0f;
        }
        __syncthreads();
        for (int i = 0; i < 8; ++i) {
            float l[2] = {left[i][threadIdx.y * 2], left[i][threadIdx.y * 2 + 1]};
            float r[2] = {right[i][threadIdx.x * 2], right[i][threadIdx.x * 2 + 1]};
            for (int p = 0; p < 2; ++p)
                for (int q = 0; q < 2; ++q) sums[p][q] += l[p] * r[q];
        }
        __syncthreads();
    }
    for (int p = 0; p < 2; ++p)
        for (int q = 0; q < 2; ++q) {
            int row = row0 + threadIdx.y * 2 + p, col = col0 + threadIdx.x * 2 + q;
            if (row < m && col < n) y[row * n + col] = sums[p][q];
        }
}
"""
WARP_PER_ELEMENT = r"""
extern "C" __global__ void matmul(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ y, int m, int n, int k) {
    int element = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
    if (element >= m * n) return;
    int row = element / n, col = element % n;
    float sum = 0.0f;
    for (int i = lane; i < k; i += 32) sum += a[row * k + i] * __ldg(&b[i * n + col]);
    for (int offset = 16; offset > 0; offset >>= 1) sum += __shfl_down_sync(0xffffffffu, sum, offset);
    if (lane == 0) y[element] = sum;
}
"""
SPLIT_K = r"""
extern "C" __global__ void clear(float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = 0.0f;
}
extern "C" __global__ void matmul(const float* a, const float* b, float* y, int m, int n, int k) {
    int col = blockIdx.x * 8 + threadIdx.x, row = blockIdx.y * 8 + threadIdx.y;
    int part = (k + gridDim.z - 1) / gridDim.z;
    int begin = blockIdx.z * part, end = min(k, begin + part);
    if (row >= m || col >= n) return;
    float sum = 0.0f;
    for (int i = begin; i < end; ++i) sum += a[row * k + i] * b[i * n + col];
    atomicAdd(&y[row * n + col], sum);
}
"""
LINEAR_TILED = r"""
extern "C" __global__ void linear(
    const float* __restrict__ x, const float* __restrict__ w, const float* __restrict__ bias, float* __restrict__ y,
    int rows, int outs, int ins) {
    __shared__ float left[8][9], right[8][9];
    int row = blockIdx.y * 8 + threadIdx.y, out = blockIdx.x * 8 + threadIdx.x;
    int out_to_load = blockIdx.x * 8 + threadIdx.y;
    float sum = 0.0f;
    for (int start = 0; start < ins; start += 8) {
        int i = start + threadIdx.x;
        left[threadIdx.y][threadIdx.x] = row < rows && i < ins ? x[row * ins + i] : 0.0f;
        right[threadIdx.y][threadIdx.x] = out_to_load < outs && i < ins ? w[out_to_load * ins + i] : 0.0f;
        __syncthreads();
        for (int j = 0; j < 8; ++j) sum += left[threadIdx.y][j] * right[threadIdx.x][j];
        __syncthreads();
    }
    if (row < rows && out < outs) y[row * outs + out] = sum + bias[out];
}
"""
LINEAR_WARP = r"""
extern "C" __global__ void linear(
    const float* __restrict__ x, const float* __restrict__ w, const float* __restrict__ bias, float* __restrict__ y,
    int rows, int outs, int ins) {
    int row = blockIdx.y, out = blockIdx.x * blockDim.y + threadIdx.y;
    if (out >= outs) return;
    float sum = 0.0f;
    for (int i = threadIdx.x; i < ins; i += 32) sum += x[row * ins + i] * w[out * ins + i];
    for (int offset = 16; offset > 0; offset >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
    if (threadIdx.x == 0) y[row * outs + out] = sum + bias[out];
}
"""
LINEAR_SHARED_ROW = r"""
extern "C" __global__ void linear(const float* x, const float* w, const float* bias, float* y, int rows, int outs, int ins) {
    extern __shared__ float held[];
    for (int i = threadIdx.x; i < ins; i += blockDim.x) held[i] = x[blockIdx.x * ins + i];
    __syncthreads();
    for (int out = threadIdx.x; out < outs; out += blockDim.x) {
        float sum = bias[out];
        for (int i = 0; i < ins; ++i) sum += held[i] * w[out * ins + i];
        y[blockIdx.x * outs + out] = sum;
    }
}
"""
BATCHED_NAIVE = r"""
extern "C" __global__ void bmm(const float* a, const float* b, float* y, int m, int n, int k) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, batch = blockIdx.y;
    if (i >= m * n) return;
    int row = i / n, col = i % n;
    float sum = 0.0f;
    for (int p = 0; p < k; ++p) sum += a[(batch * m + row) * k + p] * b[(batch * k + p) * n + col];
    y[batch * m * n + i] = sum;
}
"""
BATCHED_COLUMN = r"""
extern "C" __global__ void bmm(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ y, int m, int n, int k) {
    extern __shared__ float left[];
    const float* pa = a + blockIdx.y * m * k;
    const float* pb = b + blockIdx.y * k * n;
    for (int i = threadIdx.x; i < m * k; i += blockDim.x) left[i] = pa[i];
    __syncthreads();
    int col = threadIdx.x;
    if (col >= n) return;
    for (int row = 0; row < m; ++row) {
        float even = 0.0f, odd = 0.0f;
        for (int p = 0; p + 1 < k; p += 2) {
            even = fmaf(left[row * k + p], pb[p * n + col], even);
            odd = fmaf(left[row * k + p + 1], pb[(p + 1) * n + col], odd);
        }
        if (k % 2) even = fmaf(left[row * k + k - 1], pb[(k - 1) * n + col], even);
        y[(blockIdx.y * m + row) * n + col] = even + odd;
    }
}
"""
GEMV_WARP = r"""
extern "C" __global__ void gemv(const float* __restrict__ a, const float* __restrict__ v, float* __restrict__ y, int rows, int cols) {
    int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    float sum = 0.0f;
    for (int c = lane; c < cols; c += 32) sum += a[row * cols + c] * v[c];
#pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) sum += __shfl_down_sync(0xffffffffu, sum, offset);
    if (lane == 0) y[row] = sum;
}
"""
GEMV_THREAD = r"""
extern "C" __global__ void gemv(const float* a, const float* v, float* y, int rows, int cols) {
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row < rows) {
        float sum = 0.0f;
        for (int c = cols - 1; c >= 0; --c) sum += a[row * cols + c] * v[c];
        y[row] = sum;
    }
}
"""
OUTER = r"""
extern "C" __global__ void outer(const float* u, const float* v, float* y, int rows, int cols) {
    for (int r = blockIdx.x; r < rows; r += gridDim.x) {
        float factor = u[r];
        for (int c = threadIdx.x; c < cols; c += blockDim.x) y[r * cols + c] = factor * v[c];
    }
}
"""
OUTER_2D = r"""
extern "C" __global__ void outer(const float* __restrict__ u, const float* __restrict__ v, float* __restrict__ y, int rows, int cols) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    int r = blockIdx.y * blockDim.y + threadIdx.y;
    if (r < rows && c < cols) y[r * cols + c] = u[r] * v[c];
}
"""
HALF_NAIVE = r"""
#include <cuda_fp16.h>
extern "C" __global__ void matmul(const __half* a, const __half* b, __half* y, int m, int n, int k) {
    int col = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
    if (row >= m || col >= n) return;
    float sum = 0.0f;
    for (int i = 0; i < k; ++i) sum += __half2float(a[row * k + i]) * __half2float(b[i * n + col]);
    y[row * n + col] = __float2half(sum);
}
"""
HALF_WMMA = r"""
#include <cuda_fp16.h>
#include <mma.h>
using namespace nvcuda;
extern "C" __global__ void matmul(const __half* a, const __half* b, __half* y, int m, int n, int k) {
    __shared__ float result[16 * 16];
    wmma::fragment<wmma::matrix_a, 16, 16, 16, __half, wmma::row_major> left;
    wmma::fragment<wmma::matrix_b, 16, 16, 16, __half, wmma::row_major> right;
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum;
    wmma::fill_fragment(sum, 0.0f);
    int row = blockIdx.y * 16, col = blockIdx.x * 16;
    for (int i = 0; i < k; i += 16) {
        wmma::load_matrix_sync(left, a + row * k + i, k);
        wmma::load_matrix_sync(right, b + i * n + col, n);
        wmma::mma_sync(sum, left, right, sum);
    }
    wmma::store_matrix_sync(result, sum, 16, wmma::mem_row_major);
    __syncwarp();
    for (int i = threadIdx.x; i < 256; i += 32) y[(row + i / 16) * n + col + i % 16] = __float2half(result[i]);
}
"""
HALF_MMA = r"""
#include <cuda_fp16.h>
__device__ unsigned in_shared(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }
__device__ void copy16(void* to, const void* from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(in_shared(to)), "l"(from) : "memory");
}
// one warp, 16 x 16 outputs; the next 16 of k are on their way while these are multiplied
extern "C" __global__ void matmul(const __half* a, const __half* b, __half* y, int m, int n, int k) {
    __shared__ __align__(16) __half left[2][16][24], right[2][16][24];
    int lane = threadIdx.x, row = blockIdx.y * 16, col = blockIdx.x * 16;
    float sum[2][4] = {};
    auto load = [&](int buffer, int start) {
        int r = lane / 2, c = lane % 2 * 8;
        copy16(&left[buffer][r][c], a + (row + r) * k + start + c);
        copy16(&right[buffer][r][c], b + (start + r) * n + col + c);
        asm volatile("cp.async.commit_group;" ::: "memory");
    };
    load(0, 0);
    for (int start = 0, buffer = 0; start < k; start += 16, buffer ^= 1) {
        if (start + 16 < k) {
            load(buffer ^ 1, start + 16);
            asm volatile("cp.async.wait_group 1;" ::: "memory");
        } else {
            asm volatile("cp.async.wait_all;" ::: "memory");
        }
        __syncwarp();
        unsigned x[4], w[4];
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
            : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3]) : "r"(in_shared(&left[buffer][lane % 16][lane / 16 * 8])) : "memory");
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
            : "=r"(w[0]), "=r"(w[1]), "=r"(w[2]), "=r"(w[3]) : "r"(in_shared(&right[buffer][lane % 16][lane / 16 * 8])) : "memory");
        for (int j = 0; j < 2; ++j)
            asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                : "+f"(sum[j][0]), "+f"(sum[j][1]), "+f"(sum[j][2]), "+f"(sum[j][3])
                : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(w[2 * j]), "r"(w[2 * j + 1]));
        __syncwarp();
    }
    for (int j = 0; j < 2; ++j)
        for (int h = 0; h < 2; ++h) {
            __half2 pair = __floats2half2_rn(sum[j][2 * h], sum[j][2 * h + 1]);
            *(__half2*)(y + (row + lane / 4 + 8 * h) * n + col + j * 8 + lane % 4 * 2) = pair;
        }
}
"""
WRAPPED = r"""
struct Matrix {
    const float* data;
    int stride;
    __device__ float at(int row, int col) const { return data[row * stride + col]; }
};
template <int UNROLL>
__device__ float dot(Matrix a, Matrix b, int row, int col, int k) {
    float sums[UNROLL] = {};
    int i = 0;
    for (; i + UNROLL <= k; i += UNROLL)
#pragma unroll
        for (int u = 0; u < UNROLL; ++u) sums[u] += a.at(row, i + u) * b.at(i + u, col);
    for (; i < k; ++i) sums[0] += a.at(row, i) * b.at(i, col);
    float sum = 0.0f;
#pragma unroll
    for (int u = 0; u < UNROLL; ++u) sum += sums[u];
    return sum;
}
extern "C" __global__ void matmul(const float* a, const float* b, float* y, int m, int n, int k) {
    int col = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
    if (row < m && col < n) y[row * n + col] = dot<3>({a, k}, {b, n}, row, col, k);
}
"""


def _matmul(grid: str, block: str, *, dtype: str = "", before: str = "") -> str:
    return f"""
    m, k = a.shape
    n = b.shape[1]
    y = torch.empty(m, n, device=a.device{dtype})
    sizes = np.int32(m), np.int32(n), np.int32(k)
    {before}
    run("matmul", {grid}, {block}, a.data_ptr(), b.data_ptr(), y.data_ptr(), *sizes)
    return y
    """


def _linear(cuda: str, style: str, grid: str, block: str, shared: str = "0") -> Honest:
    forward = f"""
    rows, ins = x.shape
    outs = self.linear.out_features
    y = torch.empty(rows, outs, device=x.device)
    w, b = self.linear.weight, self.linear.bias
    run("linear", {grid}, {block}, x.data_ptr(), w.data_ptr(), b.data_ptr(), y.data_ptr(),
        np.int32(rows), np.int32(outs), np.int32(ins), shared={shared})
    return y
    """
    return Honest(
        "linear", style, module(cuda, forward, init="self.linear = nn.Linear(ins, outs)", arguments="ins, outs")
    )


def _bmm(grid: str, block: str, shared: str) -> str:
    return f"""
    batch, m, k = a.shape
    n = b.shape[2]
    y = torch.empty(batch, m, n, device=a.device)
    run("bmm", {grid}, {block}, a.data_ptr(), b.data_ptr(), y.data_ptr(), np.int32(m), np.int32(n), np.int32(k), shared={shared})
    return y
    """


def _gemv(grid: str, block: str) -> str:
    return f"""
    rows, cols = a.shape
    y = torch.empty(rows, device=a.device)
    run("gemv", {grid}, {block}, a.data_ptr(), v.data_ptr(), y.data_ptr(), np.int32(rows), np.int32(cols))
    return y
    """


def _outer(grid: str, block: str) -> str:
    return f"""
    rows, cols = u.numel(), v.numel()
    y = torch.empty(rows, cols, device=u.device)
    run("outer", {grid}, {block}, u.data_ptr(), v.data_ptr(), y.data_ptr(), np.int32(rows), np.int32(cols))
    return y
    """


TASKS = {
    "matmul": task("return a @ b", "torch.randn(19, 45), torch.randn(45, 22)", names="a, b"),
    "matmul_half": task("return a @ b", "torch.randn(32, 48).half(), torch.randn(48, 16).half()", names="a, b"),
    "linear": task(
        "return self.linear(x)",
        "torch.randn(13, 37)",
        init="self.linear = torch.nn.Linear(ins, outs)",
        arguments="ins, outs",
        values="37, 21",
    ),
    "bmm": task("return torch.bmm(a, b)", "torch.randn(3, 9, 15), torch.randn(3, 15, 11)", names="a, b"),
    "gemv": task("return a @ v", "torch.randn(21, 83), torch.randn(83)", names="a, v"),
    "outer": task("return torch.outer(u, v)", "torch.randn(17), torch.randn(45)", names="u, v"),
}
_TILES = "((n + 7) // 8, (m + 7) // 8)"
_CLEAR = 'run("clear", ((m * n + 63) // 64,), (64,), y.data_ptr(), np.int32(m * n))'
KERNELS = [
    Honest("matmul", "naive", module(NAIVE, _matmul(_TILES, "(8, 8)"), names="a, b")),
    Honest("matmul", "tiled", module(TILED, _matmul(_TILES, "(8, 8)"), names="a, b")),
    Honest("matmul", "blocked", module(BLOCKED, _matmul("((n + 15) // 16, (m + 15) // 16)", "(8, 8)"), names="a, b")),
    Honest("matmul", "warp", module(WARP_PER_ELEMENT, _matmul("((m * n + 3) // 4,)", "(128,)"), names="a, b")),
    Honest(
        "matmul",
        "split_k",
        module(SPLIT_K, _matmul("((n + 7) // 8, (m + 7) // 8, 3)", "(8, 8)", before=_CLEAR), names="a, b"),
    ),
    Honest("matmul", "wrapped", module(WRAPPED, _matmul("((n + 15) // 16, (m + 3) // 4)", "(16, 4)"), names="a, b")),
    Honest(
        "matmul_half", "naive", module(HALF_NAIVE, _matmul(_TILES, "(8, 8)", dtype=", dtype=a.dtype"), names="a, b")
    ),
    Honest(
        "matmul_half",
        "wmma",
        module(HALF_WMMA, _matmul("(n // 16, m // 16)", "(32,)", dtype=", dtype=a.dtype"), names="a, b"),
    ),
    Honest(
        "matmul_half",
        "mma_async",
        module(HALF_MMA, _matmul("(n // 16, m // 16)", "(32,)", dtype=", dtype=a.dtype"), names="a, b"),
    ),
    _linear(LINEAR_TILED, "tiled", "((outs + 7) // 8, (rows + 7) // 8)", "(8, 8)"),
    _linear(LINEAR_WARP, "warp", "((outs + 3) // 4, rows)", "(32, 4)"),
    _linear(LINEAR_SHARED_ROW, "shared_row", "(rows,)", "(32,)", "4 * ins"),
    Honest("bmm", "naive", module(BATCHED_NAIVE, _bmm("((m * n + 63) // 64, batch)", "(64,)", "0"), names="a, b")),
    Honest("bmm", "column", module(BATCHED_COLUMN, _bmm("(1, batch)", "(32,)", "4 * m * k"), names="a, b")),
    Honest("gemv", "warp", module(GEMV_WARP, _gemv("((rows + 1) // 2,)", "(64,)"), names="a, v")),
    Honest("gemv", "thread", module(GEMV_THREAD, _gemv("((rows + 7) // 8,)", "(8,)"), names="a, v")),
    Honest("outer", "rows", module(OUTER, _outer("(6,)", "(32,)"), names="u, v")),
    Honest("outer", "two_d", module(OUTER_2D, _outer("((cols + 15) // 16, (rows + 3) // 4)", "(16, 4)"), names="u, v")),
]
