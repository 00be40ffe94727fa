"""The fingerprint of compiled code: names, comments and lines make no difference, instructions and numbers do."""

from __future__ import annotations

import pytest

from kernelwright.sandbox.build import build_cuda
from kernelwright.sandbox.emulator.fingerprint import fingerprint, without_names
from kernelwright.sandbox.emulator.lower import ParamSlot

PLAIN = """
__constant__ float weights[4];
__device__ __noinline__ float twice(float v) { return v * 2.0f; }
extern "C" __global__ void add(const float* a, float* b, int n) {
    __shared__ float t[32];
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    t[threadIdx.x] = a[i];
    __syncthreads();
    if (i < n) b[i] = twice(t[threadIdx.x]) + weights[i % 4];
}
"""
OTHER = """
// other names, on other lines
__constant__ float table[4];

__device__ __noinline__ float mul(float value) { return value * 2.f; }

extern "C" __global__ void add_one(const float* from, float* to, int count)
{
    __shared__ float tile[32];
    const int at = blockIdx.x * blockDim.x + threadIdx.x;
    tile[threadIdx.x] = from[at];
    __syncthreads();
    if (at < count)
        to[at] = mul(tile[threadIdx.x]) + table[at % 4];
}
"""


def plain(source: str) -> str:
    return without_names(build_cuda(source).ptx)


def test_names_comments_and_lines_make_no_difference() -> None:
    assert plain(OTHER) == plain(PLAIN)
    assert "add.s" in plain(PLAIN)  # a kernel called `add` is no reason to rename instructions


@pytest.mark.parametrize(
    ("before", "after"), [("2.0f", "3.0f"), ("i < n", "i <= n"), ("t[32]", "t[64]"), ("weights[4]", "weights[8]")]
)
def test_code_makes_one(before: str, after: str) -> None:
    assert plain(PLAIN.replace(before, after)) != plain(PLAIN)


def test_numbers_count_and_pointers_do_not() -> None:
    slots = (ParamSlot("p", "u64", 0, 8, 8), ParamSlot("n", "u32", 8, 4, 4), ParamSlot("m", "u64", 16, 8, 8))

    def of(pointer: int, number: int, size: int, entry: int = 0) -> str:
        data = pointer.to_bytes(8, "little") + number.to_bytes(8, "little") + size.to_bytes(8, "little")
        return fingerprint("ptx", entry, data, slots)

    base = of(0x7F00_0000_0000, 5, 6)
    assert of(0x7F00_1234_0000, 5, 6) == base
    assert len({base, of(0x7F00_0000_0000, 6, 6), of(0x7F00_0000_0000, 5, 7), of(0x7F00_0000_0000, 5, 6, 1)}) == 4
