"""What goes wrong with calls, stacks and the heap of device code: each is reported at its line, and the process goes on."""

from __future__ import annotations

import numpy as np
import pytest

from kernelwright.sandbox import emulator
from kernelwright.sandbox.launch import LaunchReport, Violation


def launch(
    source: str, *args: object, memory: emulator.Memory | None = None, limits: emulator.LaunchLimits | None = None
) -> LaunchReport:
    """Runs kernel `f` with 40 threads."""
    module = emulator.compile(source)
    return module.launch("f", 1, 40, args, memory=memory or emulator.Memory(), limits=limits or emulator.LaunchLimits())


def only(report: LaunchReport) -> Violation:
    """The one violation there must be."""
    assert len(report.violations) == 1, report.violations
    return report.violations[0]


RUNAWAY = """__device__ __noinline__ int down(int n, const int* stop) {
  int kept[4]; kept[n & 3] = n;
  if (*stop) return kept[0];
  return down(n + 1, stop) + kept[n & 3]; }
extern "C" __global__ void f(int* y) { y[threadIdx.x] = down(threadIdx.x, y + 50); }"""


def test_recursion_without_end_fills_the_stack() -> None:
    found = only(launch(RUNAWAY, np.zeros(64, np.int32)))
    assert (found.kind, found.line) in (("trap", 1), ("trap", 4))
    assert "stack is full" in found.message
    assert found.thread == (0, 0, 0)


def test_a_larger_stack_lets_deeper_recursion_pass() -> None:
    source = """__device__ __noinline__ int sum(int n) { volatile int k = n; return k == 0 ? 0 : sum(n - 1) + k; }
    extern "C" __global__ void f(int* y) { y[threadIdx.x] = sum(3000 + threadIdx.x); }"""
    y = np.zeros(40, np.int32)
    assert only(launch(source, y)).kind == "trap"
    report = launch(source, y, limits=emulator.LaunchLimits(stack_bytes=1 << 20))
    n = 3000 + np.arange(40)
    assert not report.violations
    np.testing.assert_array_equal(y, n * (n + 1) // 2)


def test_mutual_recursion_without_end() -> None:
    source = """__device__ int b(int n, const int* stop);
    __device__ __noinline__ int a(int n, const int* stop) { return *stop ? n : b(n + 1, stop) + 1; }
    __device__ __noinline__ int b(int n, const int* stop) { return *stop ? n : a(n + 2, stop) * 3; }
    extern "C" __global__ void f(int* y) { y[threadIdx.x] = a(threadIdx.x, y + 50); }"""
    found = only(launch(source, np.zeros(64, np.int32)))
    assert found.kind == "trap"
    assert found.line in (2, 3)


def test_recursion_that_takes_for_ever_ends_at_the_limit() -> None:
    source = """__device__ __noinline__ int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
    extern "C" __global__ void f(int* y) { y[threadIdx.x] = fib(60); }"""
    found = only(launch(source, np.zeros(40, np.int32), limits=emulator.LaunchLimits(max_warp_instructions=200_000)))
    assert (found.kind, found.line) == ("endless_loop", 1)


def test_alloca_of_too_much() -> None:
    source = """extern "C" __global__ void f(int* y, unsigned long long n) { int* p;
      asm volatile("{ .reg .u64 t; alloca.u64 t, %1; cvta.local.u64 %0, t; }" : "=l"(p) : "l"(n));
      p[0] = threadIdx.x; y[threadIdx.x] = p[0]; }"""
    y = np.zeros(40, np.int32)
    assert not launch(source, y, np.uint64(4096)).violations
    np.testing.assert_array_equal(y, np.arange(40))
    for size in (1 << 20, (1 << 64) - 8):
        found = only(launch(source, y, np.uint64(size)))
        assert (found.kind, found.line) == ("trap", 2)


def test_an_index_past_an_array_on_the_stack() -> None:
    source = """__device__ __noinline__ int pick(int n, int at) {
      int a[4]; for (int i = 0; i < 4; i++) a[i] = n + i;
      if (n > 0) return pick(n - 1, at) + 1;
      return a[at]; }
    extern "C" __global__ void f(int* y, int at) { y[threadIdx.x] = pick(threadIdx.x % 4, at); }"""
    y = np.zeros(40, np.int32)
    assert not launch(source, y, np.int32(3)).violations
    np.testing.assert_array_equal(y, 3 + np.arange(40) % 4)
    found = only(launch(source, y, np.int32(400)))
    assert (found.kind, found.line) == ("out_of_bounds", 4)


@pytest.mark.parametrize("entry", ["nullptr", "(Function)(void*)y"])
def test_a_call_through_what_is_no_function(entry: str) -> None:
    source = f"""typedef int (*Function)(int);
    __device__ __noinline__ int next(int a) {{ return a + 1; }}
    __device__ Function table[2] = {{next, nullptr}};
    extern "C" __global__ void f(int* y, int k) {{
      if (k) table[1] = {entry};
      y[threadIdx.x] = table[k](3); }}"""
    y = np.zeros(40, np.int32)
    assert not launch(source, y, np.int32(0)).violations
    np.testing.assert_array_equal(y, 4)
    found = only(launch(source, y, np.int32(1)))
    assert (found.kind, found.line) == ("trap", 6)
    assert "no function" in found.message


def test_a_call_through_a_pointer_in_a_module_without_functions() -> None:
    source = """extern "C" __global__ void f(int* y, int (*g)(int)) { y[threadIdx.x] = g(3); }"""
    for pointer in (0, 1 << 58, (1 << 64) - 1):
        assert only(launch(source, np.zeros(40, np.int32), np.uint64(pointer))).kind == "trap"


def test_data_is_not_read_through_the_address_of_a_function() -> None:
    source = """__device__ __noinline__ int next(int a) { return a + 1; }
    __device__ int (*pointer)(int) = next;
    extern "C" __global__ void f(int* y) { y[threadIdx.x] = *(int*)pointer; }"""
    found = only(launch(source, np.zeros(40, np.int32)))
    assert (found.kind, found.line) == ("out_of_bounds", 3)


def test_an_index_past_a_struct_passed_by_value() -> None:
    source = """struct Sizes { int n[6]; };
    extern "C" __global__ void f(const __grid_constant__ Sizes s, int* y) {
      y[threadIdx.x] = s.n[threadIdx.x]; }"""
    sizes, y = np.zeros(1, np.dtype([("n", "i4", 6)])), np.full(40, -1, np.int32)
    sizes["n"] = np.arange(6)
    found = only(launch(source, sizes[0], y))
    assert (found.kind, found.line, found.count, found.thread) == ("out_of_bounds", 3, 34, (6, 0, 0))
    assert "parameters" in found.message
    np.testing.assert_array_equal(y[:6], np.arange(6))


HEAP = """extern "C" __global__ void f(int** where, int* y, int mode) {
  if (threadIdx.x) return;
  if (mode == 0) { where[0] = (int*)malloc(64); where[0][3] = 7; }
  if (mode == 1) y[0] = where[0][3];
  if (mode == 2) free(where[0]);
  if (mode == 3) free(y);
  if (mode == 4) { int* p = (int*)malloc(16); free(p); y[1] = p[0]; }
  if (mode == 5) { int* p = (int*)malloc(16); p[4] = 1; free(p); }
  if (mode == 6) { while (malloc(1 << 20)) y[2]++; }
  if (mode == 7) for (int i = 0; i < 1000; i++) { void* p = malloc(1 << 20); if (!p) y[3]++; free(p); }
  free(nullptr); }"""


class Heap:
    """Launches of `HEAP` in one memory."""

    def __init__(self) -> None:
        self.module = emulator.compile(HEAP)
        self.memory = emulator.Memory()
        self.where, self.y = np.zeros(1, np.uint64), np.zeros(4, np.int32)

    def run(self, mode: int) -> LaunchReport:
        return self.module.launch("f", 1, 32, (self.where, self.y, np.int32(mode)), memory=self.memory)


def test_heap_memory_lives_over_launches() -> None:
    heap = Heap()
    for mode in (0, 1, 2):
        assert not heap.run(mode).violations
    assert heap.y[0] == 7
    found = only(heap.run(1))
    assert (found.kind, found.line) == ("out_of_bounds", 4)
    found = only(heap.run(2))
    assert (found.kind, found.line) == ("trap", 5)


@pytest.mark.parametrize(
    ("mode", "kind", "line", "word"),
    [
        (3, "trap", 6, "has not given"),
        (4, "out_of_bounds", 7, "has been freed"),
        (5, "out_of_bounds", 8, "write of 4 bytes"),
    ],
)
def test_wrong_use_of_the_heap(mode: int, kind: str, line: int, word: str) -> None:
    found = only(Heap().run(mode))
    assert (found.kind, found.line) == (kind, line)
    assert word in found.message


def test_a_full_heap_gives_null() -> None:
    heap = Heap()
    assert not heap.run(7).violations
    assert heap.y[3] == 0
    assert not heap.run(6).violations
    assert heap.y[2] == 8
    assert not heap.run(7).violations
    assert heap.y[3] == 1000


def test_the_stack_goes_back_only_to_where_it_was() -> None:
    source = """extern "C" __global__ void f(int* y, unsigned long long more) { unsigned long long top; int* p;
      asm volatile("stacksave.u64 %0;" : "=l"(top));
      for (int i = 0; i < 100; i++) {
        asm volatile("{ .reg .u64 t; alloca.u64 t, 4096; cvta.local.u64 %0, t; }" : "=l"(p));
        p[i] = i; y[threadIdx.x] += p[i];
        asm volatile("stackrestore.u64 %0;" :: "l"(top + more) : "memory");
      } }"""
    y = np.zeros(40, np.int32)
    assert not launch(source, y, np.uint64(0)).violations
    np.testing.assert_array_equal(y, 4950)
    found = only(launch(source, y, np.uint64(1 << 40)))
    assert (found.kind, found.line) == ("trap", 6)
