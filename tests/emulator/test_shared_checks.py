"""Races between warps and uninitialised reads in shared memory: found where they are, and only there."""

from __future__ import annotations

import numpy as np
import pytest

from kernelwright.sandbox import emulator
from kernelwright.sandbox.launch import LaunchReport, Violation


def launch(source: str, block: int, *args: object, shared: int = 0, grid: int = 2, **limits: object) -> LaunchReport:
    module = emulator.compile(source)
    return module.launch(
        "f", grid, block, args, shared=shared, memory=emulator.Memory(), limits=emulator.LaunchLimits(**limits)
    )


def only(report: LaunchReport) -> Violation:
    assert len(report.violations) == 1, report.violations
    assert "BUG" in report.violations[0].source
    return report.violations[0]


def kernel(body: str) -> str:
    return f'extern "C" __global__ void f(float* y) {{ __shared__ float s[256]; int t = threadIdx.x;\n{body}\n}}'


Y = 256


def test_read_after_write_without_a_barrier() -> None:
    found = only(launch(kernel("s[t] = t;\ny[t] = s[t ^ 32];  // BUG"), 64, np.zeros(Y, np.float32)))
    assert (found.kind, found.line) == ("shared_race", 3)
    assert "line 2" in found.message
    assert "s[32]" in found.message
    assert "__syncthreads" in found.hint


def test_write_after_read_without_a_barrier() -> None:
    body = "s[t] = t; __syncthreads();\nfloat v = s[t ^ 32];\ns[t] = v + 1;  // BUG\n__syncthreads(); y[t] = s[t];"
    found = launch(kernel(body), 64, np.zeros(Y, np.float32)).violations
    # The other warp's read of the new value is the same fault, seen at the line of the read.
    assert {(v.kind, v.line) for v in found} == {("shared_race", 3), ("shared_race", 4)}


def test_write_after_write_of_different_values() -> None:
    found = only(
        launch(kernel("s[t & 31] = t;  // BUG\n__syncthreads(); y[t] = s[t & 31];"), 96, np.zeros(Y, np.float32))
    )
    assert found.kind == "shared_race"
    assert "written by this warp and by warp" in found.message


def test_two_readers_before_the_writer() -> None:
    """The race with the first reader shows although the writer itself read last."""
    body = """s[t] = t; __syncthreads();
    float v = t >= 32 ? s[5] : 0.f;
    if (t < 32) { v = s[5]; __syncwarp(); s[5] = v + 1; }  // BUG
    y[t] = v;"""
    report = launch(kernel(body), 64, np.zeros(Y, np.float32))
    assert "shared_race" in {v.kind for v in report.violations}


def test_reading_what_nobody_wrote() -> None:
    found = only(
        launch(kernel("if (t < 63) s[t] = t; __syncthreads();\ny[t] = s[t];  // BUG"), 64, np.zeros(Y, np.float32))
    )
    assert (found.kind, found.count) == ("uninitialised_read", 2)  # one lane in each of two blocks
    assert "s[63]" in found.message


def test_what_an_earlier_block_wrote_does_not_count() -> None:
    body = "if (blockIdx.x == 0) s[t] = t; __syncthreads();\ny[blockIdx.x * 32 + t] = s[t];  // BUG"
    assert only(launch(kernel(body), 32, np.zeros(Y, np.float32), threads=1)).block == (1, 0, 0)


def test_reading_before_the_asynchronous_copy_has_arrived() -> None:
    source = r"""extern "C" __global__ void f(const float* x, float* y) { __shared__ __align__(16) float s[128];
      unsigned a = (unsigned)__cvta_generic_to_shared(&s[threadIdx.x * 4]);
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" :: "r"(a), "l"(x + threadIdx.x * 4) : "memory");
      asm volatile("cp.async.commit_group;");
      y[threadIdx.x] = s[threadIdx.x * 4];  // BUG
      asm volatile("cp.async.wait_group 0;" ::: "memory"); }"""
    raw = np.zeros(136, np.float32)
    x = raw[-(raw.ctypes.data // 4) % 4 :][:128]
    assert only(launch(source, 32, x, np.zeros(32, np.float32))).kind == "uninitialised_read"


CLEAN = {
    "barriers": "s[t] = t; __syncthreads(); float v = s[t ^ 32]; __syncthreads(); s[t] = v; __syncthreads(); y[t] = s[t ^ 64];",
    "same value": "if (t % 40 == 0) s[3] = 7; __syncthreads(); y[t] = s[3];",
    "atomics": "if (t < 8) s[t] = 0; __syncthreads(); atomicAdd(&s[t & 7], 1.f); __syncthreads(); y[t] = s[t & 7];",
    "named barrier": """if (t < 64) { s[t] = t; asm volatile("bar.sync 1, 64;" ::: "memory"); y[t] = s[t ^ 32]; }
                       else { s[t] = t; asm volatile("bar.sync 2, 64;" ::: "memory"); y[t] = s[t ^ 32]; }""",
    "producer and consumer": """if (t < 64) { s[t] = t; asm volatile("bar.arrive 3, 128;" ::: "memory"); }
                                else { asm volatile("bar.sync 3, 128;" ::: "memory"); y[t] = s[t - 64]; }""",
    "volatile flag": """volatile float* flag = &s[255]; if (t == 0) *flag = 0; __syncthreads();
      if (t == 0) { s[0] = 42; __threadfence_block(); *flag = 1; }
      if (t == 64) { while (*flag == 0) {} __threadfence_block(); y[0] = s[0]; }""",
    "own warp": "s[t] = t; __syncwarp(); y[t] = s[t ^ 1]; __syncwarp(); s[t ^ 1] = 3;",
    "bytes side by side": """unsigned char* b = (unsigned char*)s; b[t % 4 * 32 + t / 4] = t; __syncthreads(); y[t] = b[t];""",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CLEAN))
def test_programs_without_a_race(name: str) -> None:
    report = launch(kernel(CLEAN[name]), 128, np.zeros(Y, np.float32))
    assert not report.violations


def test_the_check_can_be_left_out() -> None:
    source = kernel("s[t] = t; y[t] = s[t ^ 32];")
    assert not launch(source, 64, np.zeros(Y, np.float32), check_shared=False).violations


def test_a_mask_that_leaves_the_caller_out() -> None:
    source = """extern "C" __global__ void f(int* y) {
      y[threadIdx.x] = __shfl_xor_sync(0x0000ffff, threadIdx.x, 1);  // BUG
    }"""
    found = only(launch(source, 32, np.zeros(32, np.int32)))
    assert found.kind == "missing_lanes"
    assert "does not name them" in found.message


def test_a_mask_that_names_lanes_that_returned() -> None:
    source = """extern "C" __global__ void f(int* y, int n) { if (threadIdx.x >= n) return;
      y[threadIdx.x] = __shfl_down_sync(0xffffffff, threadIdx.x, 1);  // BUG
    }"""
    found = only(launch(source, 32, np.zeros(32, np.int32), np.int32(20)))
    assert found.kind == "missing_lanes"
    assert "20, 21" in found.message
    assert not launch(source, 32, np.zeros(32, np.int32), np.int32(32)).violations
