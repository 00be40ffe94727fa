"""Correct CUDA programs: each must compute what NumPy, torch or Python integers say, and nothing may be reported.

A default run takes a sample over all subjects; `pytest -m corpus` runs every program for every architecture it names, under
three schedules.
"""

from __future__ import annotations

import pytest
from _pytest.mark import ParameterSet
from emulator.corpus.case import Case
from emulator.corpus.correct import SUBJECTS
from emulator.corpus.harness import check_case

from kernelwright.errors import UnsupportedError
from kernelwright.sandbox.launch import SCHEDULES

EVERY = [(subject, case, arch) for subject, cases in SUBJECTS.items() for case in cases for arch in case.archs]

SAMPLE = (
    "float4_with_tail",
    "struct_by_value",
    "template_instances",
    "dense_switch",
    "every_lane_its_own_path",
    "virtual_functions_of_objects_on_the_heap",
    "structs_of_arrays_indexed_at_run_time",
    "transpose_with_padding",
    "dynamic_shared_carved_in_three",
    "generic_addresses",
    "same_value_writes",
    "last_block_finishes",
    "scan_with_look_back",
    "every_32_bit_operation",
    "spin_lock_by_every_thread",
    "diverged_halves_with_their_own_masks",
    "exited_lanes",
    "arrive_and_sync",
    "coalesced_threads",
    "pipeline_of_three_stages",
    "shifts_past_the_width",
    "rounding_modes_of_float",
    "trigonometry",
    "bfloat16_rms_norm",
    "radix_by_bits",
    "sgemm_in_registers",
    "attention",
)
"""Names of the cases of a default run, each for its first architecture."""

NOT_YET: dict[str, str] = {}
"""Cases that the emulator refuses or gets wrong today, with the instruction or the fault. Each is a strict xfail, so that it
fails visibly here once it works."""


def identity(subject: str, case: Case, arch: str) -> str:
    return f"{subject}-{case.name}-{arch}"


def params(chosen: list[tuple[str, Case, str]]) -> list[ParameterSet]:
    made = []
    for subject, case, arch in chosen:
        reason = NOT_YET.get(f"{case.name}[{arch}]", NOT_YET.get(case.name))
        marks = (
            [pytest.mark.xfail(reason=reason, raises=(UnsupportedError, AssertionError), strict=True)] if reason else []
        )
        made.append(pytest.param(case, arch, id=identity(subject, case, arch), marks=marks))
    return made


@pytest.mark.parametrize(("case", "arch"), params([e for e in EVERY if e[1].name in SAMPLE and e[2] == e[1].archs[0]]))
def test_sample(case: Case, arch: str) -> None:
    check_case(case, arch)


@pytest.mark.corpus
@pytest.mark.parametrize(("case", "arch"), params(EVERY))
def test_every(case: Case, arch: str) -> None:
    check_case(case, arch, SCHEDULES)


def test_the_corpus_is_whole() -> None:
    names = [case.name for cases in SUBJECTS.values() for case in cases]
    assert len(names) >= 120
    assert len(set(names)) == len(names), "two cases have the same name"
    assert set(SAMPLE) <= set(names)
    assert {name.split("[")[0] for name in NOT_YET} <= set(names)
