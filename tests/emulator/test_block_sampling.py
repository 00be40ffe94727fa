"""A sample of a grid's blocks: what is run, what is written, what is refused, and the estimate for the whole."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from kernelwright.errors import LaunchError
from kernelwright.sandbox import emulator
from kernelwright.sandbox.launch import Counters, LaunchOptions, LaunchReport

SCALE = """extern "C" __global__ void f(const float* x, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = 2 * x[i];
}
extern "C" __global__ void plus_one(float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] += 1;
}
extern "C" __global__ void reversed(const float* x, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = x[n - 1 - i];
}"""


def sample(blocks: int, seed: int = 0) -> emulator.LaunchLimits:
    return emulator.LaunchLimits(options=LaunchOptions(sample_blocks=blocks, sample_seed=seed))


def aligned(count: int) -> np.ndarray:
    """float32 zeros beginning at a multiple of 128 bytes."""
    raw = np.zeros(4 * count + 128, np.uint8)
    begin = -raw.ctypes.data % 128
    return raw[begin : begin + 4 * count].view(np.float32)


class Arrays:
    """x and y of `n` floats in a table of their own."""

    def __init__(self, n: int) -> None:
        self.n = np.int32(n)
        self.x, self.y = aligned(n), aligned(n)
        self.x[:] = np.arange(1, n + 1)
        self.memory = emulator.Memory()
        for name in ("x", "y"):
            array = getattr(self, name)
            self.memory.register(array.ctypes.data, array.nbytes, name, "float32")

    def launch(self, kernel: str, limits: emulator.LaunchLimits, *arrays: np.ndarray) -> LaunchReport:
        args = (*arrays, self.n)
        blocks = -(-int(self.n) // 64)
        return emulator.compile(SCALE).launch(kernel, blocks, 64, args, memory=self.memory, limits=limits)

    def written(self) -> np.ndarray:
        """Which elements of y are complete."""
        return self.memory.written_bytes(self.y.ctypes.data).reshape(-1, 4).all(1)


def test_some_blocks_run_and_what_they_wrote_is_known() -> None:
    a = Arrays(64 * 40 - 10)
    report = a.launch("f", sample(8), a.x, a.y)
    assert (report.counters.blocks, report.blocks_total, report.sampled) == (8, 40, True)
    written = a.written()
    assert written[0]
    assert written[-1]
    assert written.sum() == 8 * 64 - 10
    assert np.array_equal(a.y[written], 2 * a.x[written])
    assert not a.y[~written].any()
    a.memory.mark()
    assert not a.written().any()


def test_the_seed_chooses() -> None:
    def chosen(seed: int) -> list[int]:
        a = Arrays(64 * 200)
        a.launch("f", sample(10, seed), a.x, a.y)
        return np.flatnonzero(a.written()[::64]).tolist()

    assert chosen(1) == chosen(1)
    assert chosen(1) != chosen(2)
    assert chosen(1)[0] == 0
    assert chosen(1)[-1] == 199


@pytest.mark.parametrize(("asked", "run"), [(1, 2), (2, 2), (39, 39), (40, 40), (1000, 40)])
def test_how_many(asked: int, run: int) -> None:
    a = Arrays(64 * 40)
    report = a.launch("f", sample(asked), a.x, a.y)
    assert report.counters.blocks == run
    assert report.sampled == (run < 40)


def test_the_estimate_is_the_whole_launch_where_blocks_are_alike() -> None:
    a = Arrays(64 * 40)
    whole = a.launch("f", emulator.LaunchLimits(), a.x, a.y).counters
    report = a.launch("f", sample(5), a.x, a.y)
    assert report.extrapolated() == whole
    assert report.counters.global_load_bytes == whole.global_load_bytes // 8
    # for a launch that ran whole there is nothing to estimate
    everything = a.launch("f", emulator.LaunchLimits(), a.x, a.y)
    assert everything.extrapolated() is everything.counters


def test_scaling_leaves_the_longest_warp() -> None:
    whole = Counters(
        **{f.name: 10 for f in fields(Counters) if f.type == "int"}, flops={"tensor": 4}, tensor_flops={"tf32": 4}
    ).scaled(2.5)
    assert (whole.longest_warp_instructions, whole.barriers, whole.flops) == (10, 25, {"tensor": 10})
    assert whole.tensor_flops == {"tf32": 10}


def test_a_huge_grid_at_full_shape() -> None:
    source = 'extern "C" __global__ void f(unsigned long long* y) { if (blockIdx.x == gridDim.x - 1) *y = blockIdx.z; }'
    y = np.zeros(1, np.uint64)
    report = emulator.compile(source).launch("f", (2**31 - 1, 65535, 65535), 1, (y,), limits=sample(3))
    assert (report.counters.blocks, int(y[0])) == (3, 65534)


@pytest.mark.parametrize(
    ("body", "line", "why"),
    [
        ("  if (atomicAdd(n, 1) == gridDim.x - 1) y[0] = 1;", 3, "an atomic whose result is used"),
        ("  while (*(volatile int*)n == 0) {}\n  y[blockIdx.x] = 1;", 3, "a volatile load"),
        ("  cooperative_groups::this_grid().sync();\n  y[blockIdx.x] = *n;", None, "grid.sync"),
    ],
)
def test_blocks_that_depend_on_each_other_are_not_sampled(body: str, line: int | None, why: str) -> None:
    source = f'#include <cooperative_groups.h>\nextern "C" __global__ void f(float* y, int* n) {{\n{body}\n}}'
    module = emulator.compile(source)
    with pytest.raises(LaunchError, match=why) as caught:
        module.launch("f", 16, 32, (np.zeros(16, np.float32), np.zeros(1, np.int32)), limits=sample(4))
    assert caught.value.line == line


def test_atomics_inside_a_block_do_no_harm() -> None:
    source = """extern "C" __global__ void f(int* y) { __shared__ int n; if (!threadIdx.x) n = 0; __syncthreads();
      int at = atomicAdd(&n, 1); y[blockIdx.x * 32 + at] = 1; }"""
    y = np.zeros(16 * 32, np.int32)
    report = emulator.compile(source).launch("f", 16, 32, (y,), limits=sample(4))
    assert (report.counters.blocks, y.sum()) == (4, 128)


def test_bytes_that_atomics_change_are_not_complete() -> None:
    source = """extern "C" __global__ void f(float* y, float* total) {
      y[blockIdx.x * 32 + threadIdx.x] = 1; if (!blockIdx.x && !threadIdx.x) total[1] = 3; atomicAdd(total, 1.f); }"""
    y, total = np.zeros(320, np.float32), np.zeros(2, np.float32)
    memory = emulator.Memory()
    memory.register(y.ctypes.data, y.nbytes, "y")
    memory.register(total.ctypes.data, total.nbytes, "total")
    emulator.compile(source).launch("f", 10, 32, (y, total), memory=memory, limits=sample(3))
    assert memory.written_bytes(y.ctypes.data).sum() == 3 * 128
    assert memory.written_bytes(total.ctypes.data).tolist() == [False] * 4 + [True] * 4


def test_a_chain_of_like_grids_can_be_sampled() -> None:
    a = Arrays(64 * 40)
    a.launch("f", sample(8), a.x, a.y)
    a.launch("plus_one", sample(8), a.y)
    written = a.written()
    assert written.sum() == 8 * 64
    assert np.array_equal(a.y[written], 2 * a.x[written] + 1)


@pytest.mark.parametrize("then", [8, None])
def test_reading_what_was_left_out_is_refused(then: int | None) -> None:
    a = Arrays(64 * 40)
    a.launch("f", sample(8), a.x, a.y)
    limits = sample(then) if then else emulator.LaunchLimits()
    with pytest.raises(LaunchError, match="reads parts of `y`"):
        a.launch("reversed", limits, a.y, a.x)
    a.memory.mark()
    a.launch("reversed", emulator.LaunchLimits(), a.y, a.x)


def test_no_blocks_at_all() -> None:
    a = Arrays(64)
    with pytest.raises(LaunchError, match="at least 1"):
        a.launch("f", sample(0), a.x, a.y)


def test_wide_and_tensor_core_stores_are_recorded() -> None:
    source = """#include <mma.h>
      using namespace nvcuda;
      extern "C" __global__ void f(float* y, float4* z) {
        wmma::fragment<wmma::accumulator, 16, 16, 16, float> c;
        wmma::fill_fragment(c, 2.f);
        wmma::store_matrix_sync(y + blockIdx.x * 256, c, 16, wmma::mem_row_major);
        z[blockIdx.x * 32 + threadIdx.x] = make_float4(1, 2, 3, 4);
      }"""
    y, z = np.zeros((10, 256), np.float32), np.zeros((10, 128), np.float32)
    memory = emulator.Memory()
    for name, array in (("y", y), ("z", z)):
        memory.register(array.ctypes.data, array.nbytes, name)
    emulator.compile(source).launch("f", 10, 32, (y, z), memory=memory, limits=sample(4))
    for array in (y, z):
        written = memory.written_bytes(array.ctypes.data).view(np.uint8).reshape(10, -1).mean(1)
        assert written.tolist() == (array != 0).all(1).astype(float).tolist()
        assert written.sum() == 4
