"""Counters against figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from kernelwright.sandbox import emulator
from kernelwright.sandbox.launch import Counters

N = np.int32


def aligned(count: int, dtype: type = np.float32) -> np.ndarray:
    """Zeroed elements beginning at a multiple of 128 bytes."""
    size = np.dtype(dtype).itemsize
    raw = np.zeros(count * size + 128, np.uint8)
    begin = -raw.ctypes.data % 128
    return raw[begin : begin + count * size].view(dtype)


def counters(source: str, grid: int, block: object, *args: object, shared: int = 0) -> Counters:
    module = emulator.compile(source)
    report = module.launch("f", grid, block, args, shared=shared, memory=emulator.Memory())
    assert not report.violations
    return report.counters


COPY = 'extern "C" __global__ void f(const float* x, float* y, int n) { int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) y[i] = x[i]; }'


def test_coalesced_copy() -> None:
    n = 4096
    c = counters(COPY, n // 256, 256, aligned(n), aligned(n), N(n))
    assert (c.global_load_requests, c.global_store_requests) == (n // 32, n // 32)
    assert (c.global_load_sectors, c.global_store_sectors) == (n * 4 // 32, n * 4 // 32)
    assert (c.global_load_bytes, c.global_store_bytes) == (4 * n, 4 * n)
    assert (c.global_load_unique_bytes, c.global_store_unique_bytes) == (4 * n, 4 * n)
    assert (c.blocks, c.warps, c.divergent_branches) == (16, 128, 0)
    assert c.branches == 128
    assert c.longest_warp_global_requests == 2
    assert c.warp_instructions["load_store"] == 2 * 128
    assert c.thread_instructions["load_store"] == 2 * n


def test_ragged_end_diverges_once() -> None:
    c = counters(COPY, 1, 64, aligned(64), aligned(64), N(40))
    assert c.divergent_branches == 1
    assert c.global_load_bytes == 160
    assert c.global_load_sectors == 5
    assert c.thread_instructions["load_store"] == 80


def test_misplaced_warp_touches_one_more_sector() -> None:
    x = aligned(72)
    c = counters(COPY, 1, 32, x[1:33], aligned(32), N(32))
    assert c.global_load_sectors == 5
    assert c.global_load_unique_bytes == 5 * 32


@pytest.mark.parametrize(("stride", "sectors"), [(1, 4), (2, 8), (4, 16), (8, 32), (32, 32)])
def test_strided_loads(stride: int, sectors: int) -> None:
    source = 'extern "C" __global__ void f(const float* x, float* y, int s) { y[threadIdx.x] = x[threadIdx.x * s]; }'
    c = counters(source, 1, 32, aligned(32 * 32), aligned(32), N(stride))
    assert c.global_load_sectors == sectors


def test_broadcast_and_reuse_count_unique_bytes_once() -> None:
    source = """extern "C" __global__ void f(const float* x, float* y) { float s = 0;
      #pragma unroll 1
      for (int i = 0; i < 10; i++) s += ((volatile const float*)x)[i];
      y[threadIdx.x] = s; }"""
    c = counters(source, 4, 64, aligned(64), aligned(64))
    assert c.global_load_requests == 10 * 8
    assert c.global_load_sectors == 10 * 8
    assert c.global_load_unique_bytes == 64
    assert c.global_store_unique_bytes == 256
    assert c.global_store_sectors == 8 * 4


def test_vector_loads_need_fewer_requests() -> None:
    source = 'extern "C" __global__ void f(const float4* x, float4* y) { y[threadIdx.x] = x[threadIdx.x]; }'
    c = counters(source, 1, 64, aligned(256), aligned(256))
    assert (c.global_load_requests, c.global_load_sectors, c.global_load_bytes) == (2, 32, 1024)


@pytest.mark.parametrize(("stride", "wavefronts"), [(1, 1), (2, 2), (4, 4), (32, 32), (33, 1), (0, 1)])
def test_bank_conflicts(stride: int, wavefronts: int) -> None:
    source = """extern "C" __global__ void f(float* y, int s) { extern __shared__ float m[];
      m[threadIdx.x * s] = 1; __syncwarp(); y[threadIdx.x] = m[threadIdx.x * s]; }"""
    c = counters(source, 1, 32, aligned(32), N(stride), shared=33 * 32 * 4)
    assert c.shared_load_wavefronts == wavefronts
    assert c.shared_store_wavefronts == wavefronts
    assert (c.shared_load_requests, c.shared_load_bytes) == (1, 128)


@pytest.mark.parametrize(
    ("index", "wavefronts"), [("threadIdx.x", 4), ("0", 1), ("threadIdx.x / 16", 1), ("threadIdx.x * 2", 8)]
)
def test_16_byte_shared_loads(index: str, wavefronts: int) -> None:
    source = f"""extern "C" __global__ void f(float4* y) {{ __shared__ float4 m[64];
      for (int i = threadIdx.x; i < 64; i += 32) m[i] = make_float4(i, i, i, i); __syncwarp(); y[threadIdx.x] = m[{index}]; }}"""
    c = counters(source, 1, 32, aligned(128))
    assert c.shared_load_wavefronts == wavefronts


def test_flops_and_instruction_classes() -> None:
    source = """extern "C" __global__ void f(const float* x, float* y, const double* p, double* q) { int i = threadIdx.x;
      float v = x[i]; y[i] = __fmaf_rn(v, v, v) + __fmul_rn(v, 3.f); q[i] = __fma_rn(p[i], p[i], 1.0); }"""
    c = counters(source, 2, 32, aligned(32), aligned(32), aligned(32, np.float64), aligned(32, np.float64))
    assert c.flops == {"fp32": 64 * 4, "fp64": 64 * 2}
    assert c.warp_instructions["fp32"] == 2 * 3
    assert c.warp_instructions["fp64"] == 2
    assert c.warp_instructions["load_store"] == 2 * 4
    assert c.thread_instructions["fp32"] == 64 * 3


def test_barriers_and_the_longest_warp() -> None:
    source = """extern "C" __global__ void f(float* y, int n) { int w = threadIdx.x / 32; float v = 0;
      #pragma unroll 1
      for (int i = 0; i < n * (w == 2); i++) v = v * 2 + y[i];
      __syncthreads(); __syncthreads(); if (v == 1) y[0] = v; }"""
    short = counters(source, 3, 128, aligned(256), N(1))
    long = counters(source, 3, 128, aligned(256), N(200))
    assert (short.barriers, short.longest_warp_barriers) == (3 * 4 * 2, 2)
    assert long.longest_warp_global_requests - short.longest_warp_global_requests == 199
    assert long.longest_warp_instructions - short.longest_warp_instructions >= 199 * 4


def test_atomics_are_counted_apart() -> None:
    source = """extern "C" __global__ void f(int* y) { __shared__ int s; if (!threadIdx.x) s = 0; __syncthreads();
      atomicAdd(&s, 1); atomicAdd(&y[threadIdx.x], 1); }"""
    c = counters(source, 2, 64, aligned(64, np.int32))
    assert (c.global_atomic_requests, c.global_atomic_sectors, c.shared_atomic_requests) == (4, 16, 4)
    assert c.global_store_requests == 0


def test_totals_do_not_depend_on_the_number_of_threads() -> None:
    n = 100_000
    source = """extern "C" __global__ void f(const float* x, float* y, int n) {
      for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x) y[i] = x[i] > 0 ? sqrtf(x[i]) : sinf(x[i]); }"""
    x = np.random.default_rng(1).standard_normal(n).astype(np.float32)
    module, found = emulator.compile(source), []
    for threads in (1, 2, 5):
        limits = emulator.LaunchLimits(threads=threads)
        report = module.launch(
            "f", 50, 192, (x, np.zeros(n, np.float32), N(n)), memory=emulator.Memory(), limits=limits
        )
        found.append(report.counters)
    assert found[0].warp_instructions == found[1].warp_instructions == found[2].warp_instructions
    assert found[0].global_load_requests == found[2].global_load_requests
    assert found[0].global_load_unique_bytes == found[2].global_load_unique_bytes
