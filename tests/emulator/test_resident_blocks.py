"""Blocks that wait for each other: grid barriers, flags, chains; and grids that are too large for it."""

from __future__ import annotations

import numpy as np
import pytest

from kernelwright.errors import LaunchError
from kernelwright.sandbox import emulator
from kernelwright.sandbox.emulator.residency import resident_blocks
from kernelwright.sandbox.launch import KernelResources, LaunchReport


def run(source: str, grid: int, block: int, *args: object, **limits: object) -> LaunchReport:
    module = emulator.compile(source)
    return module.launch(
        "f", grid, block, args, memory=emulator.Memory(), limits=emulator.LaunchLimits(seconds=60, **limits)
    )


SYNC = """#include <cooperative_groups.h>
extern "C" __global__ void f(int* x, int* y, int n) {
  auto grid = cooperative_groups::this_grid(); int i = blockIdx.x * blockDim.x + threadIdx.x;
  for (int step = 0; step < 3; step++) {
    y[i] = x[(i + 64) % n] + 1; grid.sync();
    x[i] = y[(i + 64) % n] + 1; grid.sync(); } }"""


def test_grid_sync() -> None:
    n = 40 * 64
    x, y = np.arange(n, dtype=np.int32), np.zeros(n, np.int32)
    report = run(SYNC, 40, 64, x, y, np.int32(n))
    np.testing.assert_array_equal(x, np.roll(np.arange(n), -64 * 6) + 6)
    assert not report.violations
    assert report.counters.blocks == 40


def test_a_grid_that_no_gpu_holds_is_refused() -> None:
    x = np.zeros(1, np.int32)
    with pytest.raises(LaunchError, match=r"holds \d+ of them at once"):
        run(SYNC, 100_000, 64, x, x, np.int32(1))


HOME_MADE = """extern "C" __global__ void f(volatile int* flag, const int* x, int* y) {
  int t = threadIdx.x; __shared__ int total; if (t == 0) total = 0; __syncthreads();
  atomicAdd(&total, x[blockIdx.x * blockDim.x + t]); __syncthreads();
  if (t == 0) { y[blockIdx.x] = total; __threadfence(); flag[blockIdx.x] = 1;
    for (int b = 0; b < gridDim.x; b++) while (flag[b] == 0) {} }
  __syncthreads(); __threadfence();
  if (t == 0) { int all = 0; for (int b = 0; b < gridDim.x; b++) all += ((volatile int*)y)[b]; y[gridDim.x + blockIdx.x] = all; } }"""


@pytest.mark.parametrize("threads", [1, 2])
def test_flags_that_every_block_waits_for(threads: int) -> None:
    flag, x, y = np.zeros(30, np.int32), np.arange(30 * 96, dtype=np.int32), np.zeros(60, np.int32)
    report = run(HOME_MADE, 30, 96, flag, x, y, threads=threads)
    np.testing.assert_array_equal(y[:30], x.reshape(30, 96).sum(1))
    np.testing.assert_array_equal(y[30:], x.sum())
    assert not report.violations


def test_a_chain_from_the_last_block_to_the_first() -> None:
    y = np.zeros(21, np.int32)
    source = """extern "C" __global__ void f(int* y) { if (threadIdx.x) return; int b = blockIdx.x;
      if (b < gridDim.x - 1) while (atomicAdd(y + b + 1, 0) == 0) __nanosleep(20);
      atomicExch(y + b, 1 + (b < gridDim.x - 1 ? atomicAdd(y + b + 1, 0) : 0)); }"""
    report = run(source, 20, 32, y)
    np.testing.assert_array_equal(y[:20], np.arange(20, 0, -1))
    assert not report.violations


def test_shared_memory_stays_with_its_block() -> None:
    """Blocks that give way keep their shared memory, registers and local arrays."""
    y, flag = np.zeros(8 * 64, np.int32), np.zeros(1, np.int32)
    source = """extern "C" __global__ void f(int* y, volatile int* flag) { __shared__ int s[64]; int t = threadIdx.x, own[8];
      s[t] = blockIdx.x * 1000 + t; for (int i = 0; i < 8; i++) own[(i + t) % 8] = blockIdx.x; __syncthreads();
      if (blockIdx.x == gridDim.x - 1) { if (t == 0) *flag = 1; } else while (*flag == 0) {}
      y[blockIdx.x * 64 + t] = s[63 - t] + own[(*flag + t) & 7]; }"""
    report = run(source, 8, 64, y, flag, threads=1)
    blocks, t = np.divmod(np.arange(8 * 64), 64)
    np.testing.assert_array_equal(y, blocks * 1001 + 63 - t)
    assert not report.violations


def test_waiting_for_a_block_that_is_not_resident_is_named() -> None:
    """The first blocks fill the GPU and wait for the last one."""
    source = """extern "C" __global__ void __launch_bounds__(1024) f(volatile int* flag) {
      if (blockIdx.x == gridDim.x - 1) *flag = 1; else while (*flag == 0) {} }"""
    found = run(source, 300, 1024, np.zeros(1, np.int32), max_warp_instructions=30_000).violations
    assert [v.kind for v in found] == ["endless_loop"]
    assert "more blocks than a GPU holds at once" in found[0].message


def resources(registers: int, shared: int) -> KernelResources:
    module = emulator.compile('extern "C" __global__ void f() {}')
    known = vars(module.resources["f"])
    return KernelResources(**{**known, "registers": registers, "static_shared": shared})


@pytest.mark.parametrize(
    ("arch", "threads", "registers", "shared", "a_multiprocessor", "multiprocessors"),
    [
        ("sm_90", 1024, 32, 0, 2, 132),  # 64 warps
        ("sm_90", 128, 16, 0, 16, 132),
        ("sm_90", 32, 16, 0, 32, 132),  # 32 blocks
        ("sm_90", 256, 128, 0, 2, 132),  # 65,536 registers
        ("sm_80", 128, 32, 40 * 1024, 4, 108),  # 164 KiB, of which 1 KiB a block is the system's
        ("sm_86", 512, 32, 0, 3, 84),  # 48 warps
    ],
)
def test_blocks_that_fit(
    arch: str, threads: int, registers: int, shared: int, a_multiprocessor: int, multiprocessors: int
) -> None:
    """CUDA's occupancy calculator gives the same numbers of blocks a multiprocessor."""
    fit = resident_blocks(arch, (threads, 1, 1), 0, resources(registers, shared))
    assert fit == a_multiprocessor * multiprocessors
