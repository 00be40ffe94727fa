"""Whole kernels against NumPy in binary64."""

from __future__ import annotations

import numpy as np
import pytest
from emulator_kernels import RANDOM, WARP, N, close, normal, run

from kernelwright.sandbox import emulator


@pytest.mark.parametrize("n", [1, 31, 32, 33, 1000, 1025])
def test_vector_addition_at_ragged_sizes(n: int) -> None:
    a, b, c = normal(n), normal(n), np.full(n, np.nan, np.float32)
    source = """extern "C" __global__ void add(const float* a, const float* b, float* c, int n) {
      int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) c[i] = a[i] + b[i]; }"""
    run(source, "add", -(-n // 96), 96, (a, b, c, N(n)))
    assert np.array_equal(c, a + b)


@pytest.mark.parametrize("columns", [7, 64, 515])
def test_softmax_of_rows(columns: int) -> None:
    source = (
        WARP
        + r"""
    extern "C" __global__ void softmax(const float* x, float* y, int n) {
      __shared__ float s[32];
      const float* row = x + (size_t)blockIdx.x * n;
      int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
      float m = __int_as_float(0xff800000);
      for (int i = threadIdx.x; i < n; i += blockDim.x) m = fmaxf(m, row[i]);
      m = warp_max(m);
      if (!lane) s[warp] = m;
      __syncthreads();
      m = warp_max(lane < (blockDim.x >> 5) ? s[lane] : __int_as_float(0xff800000));
      __syncthreads();
      float t = 0;
      for (int i = threadIdx.x; i < n; i += blockDim.x) t += expf(row[i] - m);
      t = warp_sum(t);
      if (!lane) s[warp] = t;
      __syncthreads();
      t = warp_sum(lane < (blockDim.x >> 5) ? s[lane] : 0.f);
      for (int i = threadIdx.x; i < n; i += blockDim.x) y[(size_t)blockIdx.x * n + i] = expf(row[i] - m) / t;
    }"""
    )
    x, y = normal(9, columns) * 5, np.zeros((9, columns), np.float32)
    run(source, "softmax", 9, 128, (x, y, N(columns)))
    e = np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
    close(y, e / e.sum(1, keepdims=True), 1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1), (17, 33, 5), (64, 48, 40)])
def test_tiled_matrix_product_with_edges(shape: tuple[int, int, int]) -> None:
    m, n, k = shape
    source = r"""extern "C" __global__ void mm(const float* A, const float* B, float* C, int M, int N, int K) {
      __shared__ float a[16][17], b[16][17];
      int tx = threadIdx.x, ty = threadIdx.y, row = blockIdx.y * 16 + ty, col = blockIdx.x * 16 + tx;
      float acc = 0;
      for (int k = 0; k < K; k += 16) {
        a[ty][tx] = row < M && k + tx < K ? A[row * K + k + tx] : 0.f;
        b[ty][tx] = k + ty < K && col < N ? B[(k + ty) * N + col] : 0.f;
        __syncthreads();
        for (int i = 0; i < 16; i++) acc += a[ty][i] * b[i][tx];
        __syncthreads();
      }
      if (row < M && col < N) C[row * N + col] = acc;
    }"""
    a, b, c = normal(m, k), normal(k, n), np.zeros((m, n), np.float32)
    run(source, "mm", (-(-n // 16), -(-m // 16)), (16, 16), (a, b, c, N(m), N(n), N(k)))
    close(c, a.astype(np.float64) @ b, 1e-5)


def test_histogram_with_shared_and_global_atomics() -> None:
    source = r"""extern "C" __global__ void histogram(const unsigned char* x, int* bins, int n) {
      __shared__ int local[256];
      for (int i = threadIdx.x; i < 256; i += blockDim.x) local[i] = 0;
      __syncthreads();
      for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAdd(&local[x[i]], 1);
      __syncthreads();
      for (int i = threadIdx.x; i < 256; i += blockDim.x) atomicAdd(&bins[i], local[i]);
    }"""
    x, bins = RANDOM.integers(0, 256, 5000).astype(np.uint8), np.zeros(256, np.int32)
    run(source, "histogram", 7, 128, (x, bins, N(5000)))
    assert np.array_equal(bins, np.bincount(x, minlength=256))


def test_block_scan_with_shuffles() -> None:
    source = r"""extern "C" __global__ void scan(const int* x, int* y) {
      __shared__ int sums[32];
      int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, v = x[threadIdx.x];
      for (int o = 1; o < 32; o <<= 1) { int t = __shfl_up_sync(~0u, v, o); if (lane >= o) v += t; }
      if (lane == 31) sums[warp] = v;
      __syncthreads();
      if (warp == 0) {
        int t = lane < blockDim.x / 32 ? sums[lane] : 0;
        for (int o = 1; o < 32; o <<= 1) { int q = __shfl_up_sync(~0u, t, o); if (lane >= o) t += q; }
        sums[lane] = t;
      }
      __syncthreads();
      y[threadIdx.x] = v + (warp ? sums[warp - 1] : 0);
    }"""
    x, y = RANDOM.integers(-99, 99, 256).astype(np.int32), np.zeros(256, np.int32)
    run(source, "scan", 1, 256, (x, y))
    assert np.array_equal(y, np.cumsum(x))


def test_transpose_through_shared_memory() -> None:
    source = r"""extern "C" __global__ void transpose(const float* x, float* y, int rows, int cols) {
      __shared__ float tile[32][33];
      int c = blockIdx.x * 32 + threadIdx.x, r = blockIdx.y * 32 + threadIdx.y;
      for (int j = 0; j < 32; j += 8) if (r + j < rows && c < cols) tile[threadIdx.y + j][threadIdx.x] = x[(r + j) * cols + c];
      __syncthreads();
      c = blockIdx.y * 32 + threadIdx.x; r = blockIdx.x * 32 + threadIdx.y;
      for (int j = 0; j < 32; j += 8) if (r + j < cols && c < rows) y[(r + j) * rows + c] = tile[threadIdx.x][threadIdx.y + j];
    }"""
    x, y = normal(50, 71), np.zeros((71, 50), np.float32)
    run(source, "transpose", (3, 2), (32, 8), (x, y, N(50), N(71)))
    assert np.array_equal(y, x.T)


def test_last_block_reduces() -> None:
    source = r"""__device__ unsigned arrived = 0;
    extern "C" __global__ void sum(const float* x, float* part, float* out, int n) {
      __shared__ float s[64]; __shared__ bool last; float t = 0;
      for (int i = blockIdx.x * 64 + threadIdx.x; i < n; i += gridDim.x * 64) t += x[i];
      s[threadIdx.x] = t; __syncthreads();
      for (int o = 32; o; o >>= 1) { if (threadIdx.x < o) s[threadIdx.x] += s[threadIdx.x + o]; __syncthreads(); }
      if (!threadIdx.x) { part[blockIdx.x] = s[0]; __threadfence(); last = atomicInc(&arrived, gridDim.x - 1) == gridDim.x - 1; }
      __syncthreads();
      if (last && !threadIdx.x) { float r = 0; for (int i = 0; i < gridDim.x; i++) r += ((volatile float*)part)[i]; *out = r; } }"""
    x, part, out = normal(5000), np.zeros(13, np.float32), np.zeros(1, np.float32)
    module = emulator.compile(source)
    for _ in range(2):
        module.launch("sum", 13, 64, (x, part, out, N(5000)), memory=emulator.Memory())
        close(out, np.array([x.astype(np.float64).sum()]), 1e-4)


def test_the_same_launch_gives_the_same_bits() -> None:
    source = r"""extern "C" __global__ void sum(const float* x, float* out, int n) {
      int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) atomicAdd(out, x[i]); }"""
    module = emulator.compile(source)
    x, seen = normal(20000), set()
    for _ in range(3):
        out = np.zeros(1, np.float32)
        module.launch("sum", 79, 256, (x, out, N(20000)), memory=emulator.Memory())
        seen.add(float(out[0]))
    assert len(seen) == 1


def test_newer_architectures_with_untyped_registers() -> None:
    source = (
        WARP
        + r"""extern "C" __global__ void f(const float* x, float* y, int n) { int i = blockIdx.x * blockDim.x + threadIdx.x;
      float v = i < n ? x[i] : 0.f; float t = warp_sum(v * v) + warp_max(v); double d = v; if (i < n) y[i] = tanhf(v) / (t + (float)(d * d)); }"""
    )
    x = normal(100)
    results = []
    for arch in ("sm_80", "sm_90", "sm_100"):
        y = np.zeros(100, np.float32)
        run(source, "f", 1, 128, (x, y, N(100)), arch=arch)
        results.append(y)
    assert np.array_equal(results[0], results[1])
    assert np.allclose(results[1], results[2], rtol=1e-6)
