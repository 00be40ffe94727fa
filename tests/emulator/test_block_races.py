"""Races between blocks in global memory: found where they are, and only there, in whatever order blocks run."""

from __future__ import annotations

import numpy as np
import pytest

from kernelwright.sandbox import emulator
from kernelwright.sandbox.launch import SCHEDULES, LaunchOptions, LaunchReport


def launch(
    source: str, *args: object, grid: int = 6, block: int = 64, schedule: str = "forward", **limits: object
) -> LaunchReport:
    options = LaunchOptions(schedule=schedule, schedule_seed=3)
    return emulator.compile(source).launch(
        "f", grid, block, args, memory=emulator.Memory(), limits=emulator.LaunchLimits(options=options, **limits)
    )


def kernel(body: str, before: str = "") -> str:
    return f"""{before}
extern "C" __global__ void f(int* x, int* y) {{ int t = threadIdx.x, b = blockIdx.x, i = b * blockDim.x + t;
{body}
}}"""


RACES = {
    "a counter": "if (t == 0) x[0] += 1;  // BUG",
    "different values at one place": "x[t] = b;  // BUG",
    "a neighbour's element": "y[i] = x[(i + 64) % 384];  // BUG\nx[i] = y[i] + 1;  // BUG",
    "the first block prepares what others add to": "if (i == 0) x[0] = 0;  // BUG\nif (t == 0) atomicAdd(x, 1);  // BUG",
    "every block reads what the last one writes": "int v = x[3];  // BUG\nif (b == gridDim.x - 1 && t == 0) x[3] = v + 1;  // BUG\ny[i] = v;",
    "volatile alone orders nothing": "if (t == 0) x[b] = b + 1;  // BUG\ny[i] = ((volatile int*)x)[(b + 1) % 6];  // BUG",
    "a fence orders nothing without a flag": "if (t == 0) x[b] = b + 1;  // BUG\n__threadfence(); y[i] = x[(b + 1) % 6];  // BUG",
    "bytes of two blocks": "unsigned char* p = (unsigned char*)x; p[b * 63 + t] = b + 1;  // BUG",
}  # fmt: skip


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", sorted(RACES))
def test_races_are_found(name: str, schedule: str) -> None:
    report = launch(kernel(RACES[name]), np.zeros(400, np.int32), np.zeros(400, np.int32), schedule=schedule)
    assert report.violations
    for found in report.violations:
        assert found.kind == "global_race"
        assert "BUG" in found.source
        assert "block (" in found.message or "another block" in found.message


CLEAN = {
    "places of its own": "x[i] = x[i] + 1; x[i] *= 2; y[i] = x[b * 64 + (t ^ 1)] * 0 + 1;",
    "the same value": "x[0] = 42; if (t == 0) y[b] = x[0];",
    "atomics": "atomicAdd(x, 1); atomicMax(y, i);",
    "an optimistic look before an atomic": "if (*(volatile int*)x < i) atomicMax(x, i); if (x[1] < i) atomicMax(x + 1, i);",
    "the last block": """__shared__ bool last; y[i] = i; __threadfence(); __syncthreads();
      if (t == 0) last = atomicAdd(x, 1) == gridDim.x - 1; __syncthreads();
      if (last) { __threadfence(); int s = 0; for (int k = t; k < 384; k += 64) s += y[k]; y[t] = s; if (t == 0) x[0] = 0; }""",
    "flags of the blocks before": """if (t == 0) { int before = 0;
      if (b > 0) { while (((volatile int*)x)[b - 1] == 0) {} __threadfence(); before = y[b - 1]; }
      y[b] = before + b; __threadfence(); ((volatile int*)x)[b] = 1; }""",
    "a lock": """if (t == 0) { while (atomicCAS(x, 0, 1) != 0) {} __threadfence(); y[0] = y[0] + b; __threadfence(); atomicExch(x, 0); }""",
    "a lock given back by a plain store": """if (t == 0) { while (atomicCAS(x, 0, 1) != 0) {} __threadfence(); y[0] = y[0] + b;
      __threadfence(); *(volatile int*)x = 0; }""",
    "bytes side by side": "unsigned char* p = (unsigned char*)x; p[i] = t; y[i] = p[i];",
    "halves of words": "short* p = (short*)x; p[t * 6 + b] = t;",
    "acquire and release": """if (t == 0) { if (b > 0) { int v; do asm volatile("ld.acquire.gpu.b32 %0, [%1];" : "=r"(v) : "l"(x + b - 1) : "memory");
      while (!v); y[b] = y[b - 1] + b; } else y[0] = 7;
      asm volatile("st.release.gpu.b32 [%0], %1;" :: "l"(x + b), "r"(1) : "memory"); }""",
}  # fmt: skip


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", sorted(CLEAN))
def test_programs_without_a_race(name: str, schedule: str, threads: int) -> None:
    arrays = np.zeros(400, np.int32), np.zeros(400, np.int32)
    report = launch(kernel(CLEAN[name]), *arrays, schedule=schedule, threads=threads)
    assert not report.violations, report.violations


def test_the_message_names_both_sides() -> None:
    (found,) = launch(
        kernel("x[b] = b;\nif (t == 0 && b == 5) y[0] = x[4];  // BUG"), *np.zeros((2, 400), np.int32)
    ).violations
    assert "`x[4]` is read after block (4, 0, 0) wrote it at line 3" in found.message
    assert found.block == (5, 0, 0)
    assert "flag" in found.hint


def test_each_launch_begins_anew() -> None:
    """What an earlier launch wrote is ordered before this one."""
    module = emulator.compile(kernel("y[i] = x[383 - i];") + kernel("x[i] = y[383 - i];").replace("f(int", "g(int"))
    x, y = np.arange(384, dtype=np.int32), np.zeros(384, np.int32)
    memory = emulator.Memory()
    for _ in range(3):
        for name in "fg":
            assert not module.launch(name, 6, 64, (x, y), memory=memory).violations
    np.testing.assert_array_equal(x, np.arange(384))


def test_pointers_stored_in_memory() -> None:
    """Where the kernel writes is not known before it runs."""
    source = """extern "C" __global__ void f(int** p) { p[0][threadIdx.x] = p[1][threadIdx.x] + blockIdx.x; }"""
    out, x = np.zeros(64, np.int32), np.zeros(64, np.int32)
    memory = emulator.Memory()
    for array in (out, x):
        memory.register(array.ctypes.data, array.nbytes, "array", "int32")
    table = np.array([out.ctypes.data, x.ctypes.data])
    module = emulator.compile(source)
    assert [v.kind for v in module.launch("f", 2, 64, (table,), memory=memory).violations] == ["global_race"]
    assert not module.launch("f", 1, 64, (table,), memory=memory).violations


def test_the_check_can_be_left_out() -> None:
    assert not launch(kernel(RACES["a counter"]), *np.zeros((2, 400), np.int32), check_global=False).violations


def test_blocks_that_wait_keep_their_place_in_the_order() -> None:
    """A block that gives way reads its own values afterwards, and its neighbour's only in order."""
    body = """y[i] = i; __threadfence(); __syncthreads();
    if (t == 0) { atomicAdd(x, 1); while (*(volatile int*)x < gridDim.x) {} }
    __syncthreads(); int v = y[(i + 64) % 384]; y[384 + b] = v;
    if (t == 0) y[i] = v;  // BUG"""
    report = launch(kernel(body), np.zeros(1, np.int32), np.zeros(400, np.int32), threads=1)
    assert {v.kind for v in report.violations} == {"global_race"}
