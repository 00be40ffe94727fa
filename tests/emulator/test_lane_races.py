"""Lanes of a warp that take running in step for granted: races in shared memory without __syncwarp()."""

from __future__ import annotations

import numpy as np
import pytest

from kernelwright.sandbox import emulator
from kernelwright.sandbox.launch import SCHEDULES, LaunchOptions, LaunchReport


def launch(body: str, block: int = 32, schedule: str = "forward") -> LaunchReport:
    source = f'extern "C" __global__ void f(int* y) {{ __shared__ int s[64]; int t = threadIdx.x;\n{body}\n}}'
    limits = emulator.LaunchLimits(options=LaunchOptions(schedule=schedule))
    return emulator.compile(source).launch(
        "f", 1, block, (np.zeros(64, np.int32),), memory=emulator.Memory(), limits=limits
    )


RACES = {
    "read of a neighbour's element": "s[t] = t;\ny[t] = s[t ^ 1];  // BUG",
    "read by all of what one wrote": "s[t] = t;\ny[t] = s[5];  // BUG",
    "write of what a neighbour read": "s[t] = t; __syncwarp(); int v = s[t ^ 1];\ns[t] = v + 1;  // BUG\n__syncwarp(); y[t] = s[t];",
    "a branch is no meeting": "if (t < 16) s[t] = t; else s[t] = -t;\ny[t] = s[31 - t];  // BUG",
    "a loop over halves": "s[t] = t; s[t + 32] = 1; __syncwarp();\nfor (int h = y[0] + 32; h; h >>= 1) s[t] += s[t + h];  // BUG\ny[t] = s[t];",
    "read of what a neighbour added": "s[t] = 0; __syncwarp(); atomicAdd(&s[t], t);\ny[t] = s[t ^ 1];  // BUG",
    "read of what a neighbour exchanged": "s[t] = 0; __syncwarp(); int v = atomicExch(&s[t], t);\ny[t] = s[t ^ 1] + v;  // BUG",
}  # fmt: skip


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", sorted(RACES))
def test_races_are_found(name: str, schedule: str) -> None:
    report = launch(RACES[name], schedule=schedule)
    assert report.violations
    for found in report.violations:
        assert found.kind == "shared_race"
        assert "BUG" in found.source
        assert "__syncwarp" in found.hint


CLEAN = {
    "meeting in between": "s[t] = t; __syncwarp(); int v = s[t ^ 1]; __syncwarp(); s[t] = v; y[t] = s[t];",
    "its own element": "s[t] = t; s[t] += 2; y[t] = s[t];",
    "a shuffle in between": "s[t] = t; int v = __shfl_xor_sync(~0u, t, 1); y[t] = s[t ^ 1] + v;",
    "a ballot in between": "s[t] = t; unsigned m = __ballot_sync(~0u, t & 1); y[t] = s[31 - t] + m;",
    "volatile": "volatile int* v = s; v[t] = t; y[t] = v[t ^ 1];",
    "atomics": "s[t & 3] = 0; __syncwarp(); atomicAdd(&s[t & 3], t); __syncwarp(); y[t] = s[t & 3];",
    "the same value by all": "s[3] = 7; y[t] = s[3];",
    "the same value again": "s[t] = 7; __syncwarp(); int v = s[t ^ 1]; s[t] = 7; y[t] = v;",
    "halves that meet on their own": "if (t < 16) { s[t] = t; __syncwarp(0xffff); y[t] = s[15 - t]; } else { s[t] = t; __syncwarp(0xffff0000); y[t] = s[47 - t]; }",
    "its own sum": "s[t] = 0; atomicAdd(&s[t], t); y[t] = s[t];",
    "one lane counts and reads": "if (t == 9) { s[1] = 0; atomicAdd(&s[1], 4); y[0] = s[1]; }",
    "atomics pass it on": "s[0] = 0; s[1] = 0; __syncwarp(); for (int i = 0; i < 32; i++) if (t == i) { while (atomicCAS(&s[0], 0, 1)) {} s[1] += t; __threadfence_block(); atomicExch(&s[0], 0); } __syncwarp(); y[t] = s[1];",
    "one lane reads what it wrote": "if (t == 9) { s[1] = 4; y[0] = s[1]; }",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CLEAN))
def test_programs_without_a_race(name: str) -> None:
    report = launch(CLEAN[name])
    assert not report.violations, report.violations


_MATRIX = """#include <mma.h>
extern "C" __global__ void f(const __half* a, float* y) {
  using namespace nvcuda; __shared__ float s[256]; int t = threadIdx.x;
  wmma::fragment<wmma::matrix_a, 16, 16, 16, __half, wmma::row_major> x;
  wmma::fragment<wmma::matrix_b, 16, 16, 16, __half, wmma::col_major> z;
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum;
  wmma::fill_fragment(sum, 0.f); wmma::load_matrix_sync(x, a, 16); wmma::load_matrix_sync(z, a, 16);
  wmma::mma_sync(sum, x, z, sum); wmma::store_matrix_sync(s, sum, 16, wmma::mem_row_major);
  MEETING
  for (int i = t; i < 256; i += 32) y[i] = s[i];
}"""


@pytest.mark.parametrize(("meeting", "races"), [("", True), ("__syncwarp();", False)])
def test_lanes_that_read_a_matrix_meet_after_it_was_stored(meeting: str, races: bool) -> None:
    a = np.random.default_rng(5).standard_normal((16, 16)).astype(np.float16)
    y = np.zeros((16, 16), np.float32)
    report = emulator.compile(_MATRIX.replace("MEETING", meeting)).launch("f", 1, 32, (a, y), memory=emulator.Memory())
    assert {v.kind for v in report.violations} == ({"shared_race"} if races else set())
    if not races:
        wide = a.astype(np.float64)
        assert np.allclose(y, wide @ wide.T, rtol=1e-5, atol=1e-4)


_LOADED = """#include <mma.h>
extern "C" __global__ void f(const __half* a, float* y) {
  using namespace nvcuda; __shared__ __half s[256]; int t = threadIdx.x;
  wmma::fragment<wmma::matrix_a, 16, 16, 16, __half, wmma::row_major> x;
  wmma::fragment<wmma::matrix_b, 16, 16, 16, __half, wmma::col_major> z;
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum;
  wmma::fill_fragment(sum, 0.f); wmma::load_matrix_sync(z, a, 16);
  STORED
  wmma::mma_sync(sum, x, z, sum);
  AFTER
  wmma::store_matrix_sync(y, sum, 16, wmma::mem_row_major);
}"""
_STORE = "for (int i = t; i < 256; i += 32) s[i] = a[i];"
_LOAD = "wmma::load_matrix_sync(x, s, 16);"
_SAME = "for (int i = t; i < 256; i += 32) s[i] = __float2half(2.f * __half2float(a[i]));"

MATRIX_LOADS = {
    "stored lane by lane, then loaded": (f"{_STORE} {_LOAD}", "", True),
    "lanes met in between": (f"{_STORE} __syncwarp(); {_LOAD}", "", False),
    "overwritten once it was loaded": (f"{_STORE} __syncwarp(); {_LOAD} {_SAME}", "", False),
    "a product in between is no meeting": (
        f"{_STORE} __syncwarp(); {_LOAD} {_SAME}",
        "__half own = s[(t * 8 + 37) & 255]; if (__half2float(own) == 1234.f) y[0] = 1.f;",
        True,
    ),
    "copied asynchronously, then loaded": (
        "__pipeline_memcpy_async(s + t * 8, a + t * 8, 16);"
        f" __pipeline_commit(); __pipeline_wait_prior(0); {_LOAD}",
        "",
        True,
    ),
    "copied asynchronously, and lanes met": (
        f"__pipeline_memcpy_async(s + t * 8, a + t * 8, 16); __pipeline_commit(); __pipeline_wait_prior(0); __syncwarp(); {_LOAD}",
        "",
        False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(MATRIX_LOADS))
def test_to_load_a_matrix_makes_nobodys_writes_visible(name: str) -> None:
    stored, after, races = MATRIX_LOADS[name]
    source = "#include <cuda_pipeline.h>\n" + _LOADED.replace("STORED", stored).replace("AFTER", after)
    a = np.random.default_rng(5).standard_normal((16, 16)).astype(np.float16)
    y = np.zeros((16, 16), np.float32)
    report = emulator.compile(source).launch("f", 1, 32, (a, y), memory=emulator.Memory())
    assert {v.kind for v in report.violations} == ({"shared_race"} if races else set()), report.violations
    if not races:
        wide = a.astype(np.float64)
        assert np.allclose(y, wide @ wide.T, rtol=1e-5, atol=1e-4)
