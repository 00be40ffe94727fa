"""Writes of one value to one place by several warps or blocks: told as a note, never as a violation."""

from __future__ import annotations

import numpy as np
import pytest
from emulator.corpus.case import Draw
from emulator.corpus.correct import SUBJECTS
from emulator.corpus.harness import check_right, compile_program, execute

from kernelwright.sandbox import emulator
from kernelwright.sandbox.launch import SCHEDULES, LaunchOptions, LaunchReport

BODY = """extern "C" __global__ void f(int* x, int* y, int* z, int v) {
  __shared__ int s[4]; int t = threadIdx.x, b = blockIdx.x;
  if (t < 4) s[t] = t;
  __syncthreads();
  %s
  __syncthreads();
  y[b * 64 + t] = s[t & 3];
}"""


def launch(body: str, schedule: str = "forward", **limits: object) -> LaunchReport:
    arrays = np.zeros(8, np.int32), np.zeros(384, np.int32), np.zeros(8, np.int32)
    options = LaunchOptions(schedule=schedule, schedule_seed=5)
    return emulator.compile(BODY % body).launch(
        "f",
        6,
        64,
        (*arrays, np.int32(42)),
        memory=emulator.Memory(),
        limits=emulator.LaunchLimits(options=options, **limits),
    )


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_case_of_the_corpus(schedule: str) -> None:
    (case,) = (c for cases in SUBJECTS.values() for c in cases if c.name == "same_value_writes")
    plan = case.plan(Draw(case.name))
    outcome = execute(plan, compile_program(case, arch="sm_90"), schedule)
    check_right(plan, outcome, schedule)
    (report,) = outcome.reports
    assert {(note.kind, note.source.split("//")[0].strip()) for note in report.notes} == {
        ("same_value", "seen = 0;"),
        ("same_value", "if (i < n && x[i] < 0.0f) seen = 1;"),
        ("same_value", "*winner = 42;"),
    }
    (winner,) = (note for note in report.notes if "winner" in note.source)
    assert winner.message.startswith("benign: `winner[0]` is written by this block and by block (")
    assert "all writers so far stored the same value" in winner.message
    assert all("by this warp and by warp" in note.message for note in report.notes if "seen" in note.source)
    assert LaunchReport.from_json(report.to_json()) == report


WRITES = {
    "shared": "s[1] = v;",
    "global": "x[1] = v;",
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("space", sorted(WRITES))
def test_notes_use_up_no_limit_and_mute_nothing(space: str, schedule: str) -> None:
    body = WRITES[space] + " __syncthreads();\nif (t == 40) s[9] = 1;  // BUG"
    report = launch(body, schedule, max_violations=7)
    assert [v.kind for v in report.violations] == ["out_of_bounds"]
    assert report.violations[0].count == 6
    assert report.counters.blocks == 6
    assert [n.line for n in report.notes] == [5]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("s[1] = t >> 5;  // BUG", "shared_race"),
        ("s[1] = v;\nif (t == 63) s[1] = v + 1;  // BUG", "shared_race"),
        ("x[1] = b;  // BUG", "global_race"),
        ("x[1] = b >> 1;  // BUG", "global_race"),
    ],
)
def test_a_race_stays_one(body: str, kind: str, schedule: str) -> None:
    """Also where some of the writers agree; and a line with a race has no note."""
    report = launch(body, schedule)
    assert kind in {v.kind for v in report.violations}
    assert not {v.line for v in report.violations} & {n.line for n in report.notes}


NONE = {
    "a barrier between": "if (t < 32) s[1] = v; __syncthreads(); if (t == 40) s[1] = v;",
    "one warp": "if (t < 32) s[1] = v;",
    "places of their own": "x[b] = v;",
    "volatile": "*(volatile int*)(s + 1) = v; *(volatile int*)(x + 1) = v;",
    "atomics": "atomicExch(s + 1, v); atomicExch(x + 1, v);",
}


@pytest.mark.parametrize("name", sorted(NONE))
def test_nothing_to_note(name: str) -> None:
    report = launch(NONE[name])
    assert not report.violations
    assert not report.notes


def test_a_block_reads_what_it_and_another_one_wrote_alike() -> None:
    """Both warps of the second block write while the first one waits; the first then reads its own value."""
    body = """z[1] = v;
    if (t == 0 && b == 0) { while (*(volatile int*)(x + 7) == 0) {} }
    __syncthreads();
    if (b == 0 && t == 40) z[4] = z[1];
    if (b == 1 && t == 40) *(volatile int*)(x + 7) = 1;"""
    report = launch(body, threads=1)
    assert not report.violations, report.violations
    assert [n.line for n in report.notes] == [5]
