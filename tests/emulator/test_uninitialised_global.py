"""Reads of global memory that nobody wrote."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from kernelwright.sandbox import emulator
from kernelwright.sandbox.launch import Violation

SOURCE = """extern "C" __global__ void f(const float* x, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = x[i] + 1;
}
extern "C" __global__ void copy(const int* x, int* y) { y[threadIdx.x] = x[threadIdx.x] + 1; }
extern "C" __global__ void add(int* x) { atomicAdd(x + threadIdx.x, 1); }"""


@pytest.fixture
def module() -> emulator.Module:
    return emulator.compile(SOURCE)


def run(
    module: emulator.Module, memory: emulator.Memory, x: np.ndarray, y: np.ndarray, n: int
) -> tuple[Violation, ...]:
    return module.launch("f", (n + 63) // 64, 64, (x, y, np.int32(n)), memory=memory).violations


def test_what_the_host_and_kernels_wrote_is_known(module: emulator.Module, memory: emulator.Memory) -> None:
    x, y, z = (np.zeros(200, np.float32) for _ in range(3))
    for name, array in (("x", x), ("y", y), ("z", z)):
        memory.register(array.ctypes.data, array.nbytes, name, "float32", uninitialised=True)
    (found,) = run(module, memory, x, y, 200)
    assert (found.kind, found.line, found.count) == ("uninitialised_read", 3, 200)
    assert "`x[0]` is read, but nothing has written it" in found.message
    memory.initialised(x.ctypes.data, 4 * 150)
    (found,) = run(module, memory, x, y, 200)
    assert found.count == 50
    assert "`x[150]`" in found.message
    assert not run(module, memory, x, y, 150)
    # The launches before wrote y, all of it.
    assert not run(module, memory, y, z, 200)


def test_a_host_write_over_several_allocations(module: emulator.Module, memory: emulator.Memory) -> None:
    both, y = np.zeros(128, np.float32), np.zeros(64, np.float32)
    for half in (both[:64], both[64:]):
        memory.register(half.ctypes.data, half.nbytes, "half", "float32", uninitialised=True)
    memory.initialised(both.ctypes.data, both.nbytes)
    assert not run(module, memory, both[:64], y, 64)
    assert not run(module, memory, both[64:], y, 64)


def test_an_atomic_reads_and_writes(module: emulator.Module, memory: emulator.Memory) -> None:
    x = np.zeros(32, np.int32)
    memory.register(x.ctypes.data, x.nbytes, "x", "int32", uninitialised=True)
    assert [v.kind for v in module.launch("add", 1, 32, (x,), memory=memory).violations] == ["uninitialised_read"]
    assert not module.launch("add", 1, 32, (x,), memory=memory).violations


def registered_by_an_allocator(memory: emulator.Memory, array: np.ndarray) -> np.ndarray:
    handle, register, _ = memory.c_api()
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_char_p)
    kind(register)(handle, array.ctypes.data, array.nbytes, b"tensor")
    return array


def test_an_array_full_of_poison(module: emulator.Module, memory: emulator.Memory) -> None:
    x = registered_by_an_allocator(memory, np.full(64, -1, np.int32)).view(np.float32)
    y = np.zeros(64, np.float32)
    (found,) = run(module, memory, x, y, 64)
    assert found.kind == "uninitialised_read"
    assert "probably was never written" in found.message
    assert "poison" in found.message
    assert found.count == 1  # said once, not for each element
    x[63] = 0
    assert not run(module, memory, x, y, 64)


def test_minus_one_is_a_whole_number_like_others(module: emulator.Module, memory: emulator.Memory) -> None:
    x = registered_by_an_allocator(memory, np.full(64, -1, np.int32))
    y = np.ones(64, np.int32)
    assert not module.launch("copy", 1, 64, (x, y), memory=memory).violations
    np.testing.assert_array_equal(y, 0)


def test_what_a_kernel_wrote_first_is_no_poison(memory: emulator.Memory) -> None:
    source = """extern "C" __global__ void g(float* x, float* y) { int t = threadIdx.x; x[t] = t; __syncthreads();
      y[t] = x[t ^ 33] * 2; }"""
    x = registered_by_an_allocator(memory, np.full(64, -1, np.int32)).view(np.float32)
    assert not emulator.compile(source).launch("g", 1, 64, (x, np.zeros(64, np.float32)), memory=memory).violations
