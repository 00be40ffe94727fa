"""How fast the emulator is: compile and run times, thread-instructions per second, ratios to NumPy, what its checks cost.

python benchmarks/emulator.py [--threads N] [--no-shared-checks] [--repeat N]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kernelwright.sandbox import emulator
from kernelwright.sandbox.launch import LaunchReport

SOURCE = r"""
__device__ __forceinline__ float wmax(float v) { for (int o = 16; o; o >>= 1) v = fmaxf(v, __shfl_xor_sync(~0u, v, o)); return v; }
__device__ __forceinline__ float wsum(float v) { for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(~0u, v, o); return v; }

extern "C" __global__ void softmax(const float* x, float* y, int n) {
  __shared__ float s[32];
  const float* row = x + (size_t)blockIdx.x * n;
  int w = threadIdx.x >> 5, l = threadIdx.x & 31, warps = blockDim.x >> 5;
  float m = __int_as_float(0xff800000);
  for (int i = threadIdx.x; i < n; i += blockDim.x) m = fmaxf(m, row[i]);
  m = wmax(m); if (!l) s[w] = m; __syncthreads();
  m = wmax(l < warps ? s[l] : __int_as_float(0xff800000)); __syncthreads();
  float t = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) t += expf(row[i] - m);
  t = wsum(t); if (!l) s[w] = t; __syncthreads();
  t = wsum(l < warps ? s[l] : 0.f);
  for (int i = threadIdx.x; i < n; i += blockDim.x) y[(size_t)blockIdx.x * n + i] = expf(row[i] - m) / t;
}

extern "C" __global__ void layer_norm(const float* x, float* y, int n) {
  __shared__ float s[64];
  const float* row = x + (size_t)blockIdx.x * n;
  int w = threadIdx.x >> 5, l = threadIdx.x & 31, warps = blockDim.x >> 5;
  float t = 0, q = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) { float v = row[i]; t += v; q += v * v; }
  t = wsum(t); q = wsum(q); if (!l) { s[w] = t; s[w + 32] = q; } __syncthreads();
  t = wsum(l < warps ? s[l] : 0.f) / n; q = wsum(l < warps ? s[l + 32] : 0.f) / n;
  float r = rsqrtf(q - t * t + 1e-5f);
  for (int i = threadIdx.x; i < n; i += blockDim.x) y[(size_t)blockIdx.x * n + i] = (row[i] - t) * r;
}

extern "C" __global__ void add4(const float4* a, const float4* b, float4* c, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) { float4 p = a[i], q = b[i]; c[i] = make_float4(p.x + q.x, p.y + q.y, p.z + q.z, p.w + q.w); }
}

template <int T> __device__ void tiled(const float* A, const float* B, float* C, int N) {
  __shared__ float a[T][T], b[T][T];
  int tx = threadIdx.x, ty = threadIdx.y, r = blockIdx.y * T + ty, c = blockIdx.x * T + tx;
  float acc = 0;
  for (int k = 0; k < N; k += T) {
    a[ty][tx] = A[r * N + k + tx]; b[ty][tx] = B[(k + ty) * N + c]; __syncthreads();
    for (int i = 0; i < T; i++) acc += a[ty][i] * b[i][tx];
    __syncthreads();
  }
  C[r * N + c] = acc;
}
extern "C" __global__ void matmul16(const float* A, const float* B, float* C, int N) { tiled<16>(A, B, C, N); }
extern "C" __global__ void matmul32(const float* A, const float* B, float* C, int N) { tiled<32>(A, B, C, N); }

extern "C" __global__ void sgemm(const float* A, const float* B, float* C, int N) {
  __shared__ float As[8][128], Bs[8][128];
  float acc[8][8] = {};
  int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  for (int k = 0; k < N; k += 8) {
    for (int i = 0; i < 4; i++) {
      int e = threadIdx.x * 4 + i;
      As[e % 8][e / 8] = A[(blockIdx.y * 128 + e / 8) * N + k + e % 8];
      Bs[e / 128][e % 128] = B[(k + e / 128) * N + blockIdx.x * 128 + e % 128];
    }
    __syncthreads();
    #pragma unroll
    for (int kk = 0; kk < 8; kk++)
      for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++) acc[i][j] += As[kk][ty * 8 + i] * Bs[kk][tx * 8 + j];
    __syncthreads();
  }
  for (int i = 0; i < 8; i++)
    for (int j = 0; j < 8; j++) C[(blockIdx.y * 128 + ty * 8 + i) * N + blockIdx.x * 128 + tx * 8 + j] = acc[i][j];
}
"""


@dataclass(frozen=True)
class Case:
    """One kernel on one input, with NumPy doing the same."""

    name: str
    kernel: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    args: tuple[object, ...]
    out: np.ndarray
    numpy: Callable[[], np.ndarray]
    tolerance: float


def aligned(*shape: int) -> np.ndarray:
    """float32 zeros beginning at a multiple of 128 bytes, as a GPU's allocator gives them."""
    size = 4 * int(np.prod(shape))
    raw = np.zeros(size + 128, np.uint8)
    begin = -raw.ctypes.data % 128
    return raw[begin : begin + size].view(np.float32).reshape(shape)


def cases() -> list[Case]:
    """The inputs of DESIGN's table."""
    random = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        out = aligned(*shape)
        out[...] = random.standard_normal(shape)
        return out

    def softmax(x: np.ndarray) -> np.ndarray:
        e = np.exp(x - x.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    def layer_norm(x: np.ndarray) -> np.ndarray:
        return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)

    rows, row_out = normal(4096, 1024), aligned(4096, 1024)
    wide, wide_out = normal(1024, 768), aligned(1024, 768)
    a, b, c = normal(1 << 20), normal(1 << 20), aligned(1 << 20)
    p, q = normal(512, 512), normal(512, 512)
    products = [aligned(512, 512) for _ in range(3)]
    n = np.int32
    square = (p, q)
    return [
        Case("softmax 4096x1024", "softmax", (4096,), (256,), (rows, row_out, n(1024)), row_out, lambda: softmax(rows), 1e-5),
        Case("layer norm 1024x768", "layer_norm", (1024,), (256,), (wide, wide_out, n(768)), wide_out, lambda: layer_norm(wide), 1e-4),
        Case("float4 add of 1M", "add4", (1024,), (256,), (a, b, c, n(1 << 18)), c, lambda: a + b, 1e-6),
        Case("matmul 512^3, 16x16 tiles", "matmul16", (32, 32), (16, 16), (*square, products[0], n(512)), products[0], lambda: p @ q, 1e-3),
        Case("matmul 512^3, 32x32 tiles", "matmul32", (16, 16), (32, 32), (*square, products[1], n(512)), products[1], lambda: p @ q, 1e-3),
        Case("sgemm 512^3, 8x8 a thread", "sgemm", (4, 4), (256,), (*square, products[2], n(512)), products[2], lambda: p @ q, 1e-3),
    ]  # fmt: skip


def timed(function: Callable[[], object], repeat: int) -> float:
    """The shortest of several runs, in seconds."""
    best = float("inf")
    for _ in range(repeat):
        begin = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - begin)
    return best


def main() -> None:
    """Prints one line per kernel."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=None, help="processor cores (default: all)")
    parser.add_argument("--no-shared-checks", action="store_true", help="without the search for races in shared memory")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    limits = emulator.LaunchLimits(threads=options.threads, check_shared=not options.no_shared_checks)
    unchecked = emulator.LaunchLimits(threads=options.threads, check_shared=False, check_global=False)
    memory = emulator.Memory()
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        emulator.compile(SOURCE, cache_dir=Path(folder))
        print(f"from nothing, the runtime library included: {time.perf_counter() - begin:.1f} s")
        begin = time.perf_counter()
        cold = emulator.compile(SOURCE + "// once more", cache_dir=Path(folder))
        print(f"NVRTC, ptxas and translation of 6 kernels: {time.perf_counter() - begin:.2f} s")
        compiled = {case.kernel: timed(lambda k=case.kernel: cold.prepare(k), 1) for case in cases()}  # type: ignore[misc]
    begin = time.perf_counter()
    module = emulator.compile(SOURCE)
    first = time.perf_counter() - begin
    print(
        f"the same from the cache: {timed(lambda: emulator.compile(SOURCE), 3) * 1e3:.1f} ms (first time here {first:.2f} s)"
    )
    print(f"{'kernel':28s}{'g++':>8s}{'run':>11s}{'rate':>24s}{'numpy':>11s}{'ratio':>8s}{'checks':>9s}")
    for case in cases():
        module.prepare(case.kernel)

        def launch(case: Case = case, limits: emulator.LaunchLimits = limits) -> LaunchReport:
            return module.launch(case.kernel, case.grid, case.block, case.args, memory=memory, limits=limits)

        report = launch()
        assert not report.violations
        error = float(np.abs(case.out - case.numpy()).max() / np.abs(case.out).max())
        assert error < case.tolerance, (case.name, error)
        seconds = timed(launch, options.repeat)
        without = timed(lambda: launch(limits=unchecked), options.repeat)
        reference = timed(case.numpy, options.repeat)
        rate = sum(report.counters.thread_instructions.values()) / seconds / 1e9
        print(
            f"{case.name:28s}{compiled[case.kernel]:6.2f} s{seconds * 1e3:8.1f} ms{rate:9.2f} G thread-instr/s"
            f"{reference * 1e3:8.2f} ms{seconds / reference:7.1f}x{seconds / without:8.2f}x"
        )


if __name__ == "__main__":
    main()
