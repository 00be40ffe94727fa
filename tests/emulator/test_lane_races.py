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
    "one lane reads what it wrote": "if (t == 9) { s[1] = 4; y[0] = s[1]; }",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CLEAN))
def test_programs_without_a_race(name: str) -> None:
    report = launch(CLEAN[name])
    assert not report.violations, report.violations
