"""Counters by source line: figures worked out by hand, and their sums against those of the launch."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import fields

import numpy as np
import pytest
from emulator.corpus.case import Case, Draw
from emulator.corpus.correct import SUBJECTS
from emulator.corpus.harness import WARP_INSTRUCTIONS, compile_program

from kernelwright.errors import UnsupportedError
from kernelwright.sandbox import emulator
from kernelwright.sandbox.launch import Counters, LaunchOptions, LaunchReport, LineCounters

PROFILED = emulator.LaunchLimits(
    max_warp_instructions=WARP_INSTRUCTIONS, seconds=60, options=LaunchOptions(profile_lines=True)
)
COMPARED = {c.name for c in fields(Counters) if c.type == "int"}
SAME = [f.name for f in fields(LineCounters) if f.name in COMPARED]

CASES = {case.name: case for cases in SUBJECTS.values() for case in cases}
EVERY_CALL = ("dense_switch", "generic_addresses", "last_block_finishes", "pipeline_of_three_stages", "arrive_and_sync")
"""Between them they come through every function of the runtime that counts, but those of tensor cores."""


def lines_of(report: LaunchReport) -> dict[int, LineCounters]:
    return {line.line: line for line in report.lines}


def assert_sums(report: LaunchReport) -> None:
    """Every counter that lines have is, added up, the launch's."""
    assert report.lines
    assert [line.line for line in report.lines] == sorted({line.line for line in report.lines})
    for name in SAME:
        assert sum(getattr(line, name) for line in report.lines) == getattr(report.counters, name), name
    for name, total in (("classes", report.counters.warp_instructions), ("flops", report.counters.flops)):
        added: Counter[str] = Counter()
        for line in report.lines:
            added.update(getattr(line, name))
        assert {k: n for k, n in added.items() if n} == {k: n for k, n in total.items() if n}
    threads = sum(report.counters.thread_instructions.values())
    assert sum(line.thread_instructions for line in report.lines) == threads
    assert all(line.warp_instructions == sum(line.classes.values()) for line in report.lines)


def check_sums(case: Case) -> None:
    try:
        module = compile_program(case, arch=case.archs[0])
        plan = case.plan(Draw(case.name))
        memory = emulator.Memory()
        for array in plan.reachable:
            memory.register(array.ctypes.data, array.nbytes, "reachable")
        for at in plan.launches:
            report = module.launch(
                at.kernel, at.grid, at.block, at.args, shared=at.shared, memory=memory, limits=PROFILED
            )
            assert_sums(report)
    except UnsupportedError as error:
        pytest.skip(f"refused by the emulator: {error}")


@pytest.mark.parametrize("name", EVERY_CALL)
def test_sums_over_lines_are_the_counters_of_the_launch(name: str) -> None:
    check_sums(CASES[name])


@pytest.mark.corpus
@pytest.mark.parametrize("name", CASES)
def test_sums_of_every_case(name: str) -> None:
    check_sums(CASES[name])


SOURCE = """
__device__ __forceinline__ float square(float v) {
  return __fmul_rn(v, v);
}
extern "C" __global__ void f(const float* x, float* y) {
  __shared__ float s[64];
  int i = blockIdx.x * 64 + threadIdx.x;
  s[threadIdx.x] = square(x[i]);
  __syncthreads();
  float v = x[i * 8];
  if (threadIdx.x % 32 < 7)
    v += __fmaf_rn(v, v, s[63 - threadIdx.x]);
  atomicAdd(y, v);
  y[1 + i] = expf(v) + square(v);
}"""


def array(count: int) -> np.ndarray:
    """float32 ones beginning at a multiple of 128 bytes."""
    raw = np.zeros(4 * count + 128, np.uint8)
    begin = -raw.ctypes.data % 128
    made = raw[begin : begin + 4 * count].view(np.float32)
    made[:] = 1
    return made


def test_what_each_line_did() -> None:
    x, y = array(3 * 64 * 8), array(1 + 3 * 64)
    report = emulator.compile(SOURCE).launch("f", 3, 64, (x, y), limits=PROFILED)
    assert not report.violations
    assert_sums(report)
    lines = lines_of(report)
    warps, threads = 6, 192
    # a function that was inlined counts where it stands, and names its callers
    assert lines[3].flops == {"fp32": 2 * threads}
    assert (lines[3].called_from, lines[3].text) == ((8, 14), "return __fmul_rn(v, v);")
    assert (lines[8].global_load_requests, lines[8].global_load_sectors) == (warps, 4 * warps)
    assert lines[8].global_load_ideal_sectors == 4 * warps
    assert (lines[8].shared_store_requests, lines[8].shared_store_wavefronts) == (warps, warps)
    assert lines[9].barriers == warps
    assert lines[9].classes == {"barrier": warps}
    # eight floats from one lane to the next: a sector each, of which four would do
    assert (lines[10].global_load_sectors, lines[10].global_load_ideal_sectors) == (32 * warps, 4 * warps)
    assert lines[10].global_load_bytes == 4 * threads
    assert (lines[11].branches, lines[11].divergent_branches) == (warps, warps)
    assert (lines[12].shared_load_requests, lines[12].shared_load_bytes) == (warps, warps * 7 * 4)
    assert lines[12].flops == {"fp32": warps * 7 * 3}
    assert (lines[13].global_atomic_requests, lines[13].global_atomic_sectors) == (warps, warps)
    # the exponential's code is a header's: it counts at the line that calls it
    assert lines[14].classes["sfu"] == warps
    assert lines[14].global_store_bytes == 4 * threads
    assert lines[14].global_store_ideal_sectors == 4 * warps
    assert lines[14].global_store_sectors == 5 * warps


def test_a_broadcast_needs_one_sector() -> None:
    source = 'extern "C" __global__ void f(const float* x, float* y) {\n  y[threadIdx.x] = x[threadIdx.x / 16 * 64];\n}'
    report = emulator.compile(source).launch("f", 1, 32, (array(256), array(32)), limits=PROFILED)
    assert (lines_of(report)[2].global_load_sectors, lines_of(report)[2].global_load_ideal_sectors) == (2, 1)


def test_lines_are_left_out_unless_asked_for_and_survive_json() -> None:
    module = emulator.compile(SOURCE)
    x, y = array(3 * 64 * 8), array(1 + 3 * 64)
    assert module.launch("f", 3, 64, (x, y)).lines == ()
    report = module.launch("f", 3, 64, (x, y), limits=PROFILED)
    assert LaunchReport.from_json(json.loads(json.dumps(report.to_json()))) == report
