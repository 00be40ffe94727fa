"""A hundred planted defects: each must be reported at its line and as what it is; its corrected twin must raise nothing.

A default run takes one program of each kind; `pytest -m corpus` runs all, under three schedules.
"""

from __future__ import annotations

from collections import Counter

import pytest
from _pytest.mark import ParameterSet
from emulator.corpus.case import Defect
from emulator.corpus.defects import DEFECTS
from emulator.corpus.harness import check_defect, check_twin

from kernelwright.sandbox.launch import SCHEDULES

SAMPLE = (
    "tail_not_guarded",
    "from_one_array_into_the_next",
    "float4_from_an_odd_offset",
    "halo_not_filled",
    "tile_overwritten_while_in_use",
    "stencil_in_place",
    "barrier_inside_the_bounds_check",
    "shuffle_by_half_a_warp",
    "one_group_left_over",
    "bounds_check_that_returns",
)
"""Names of the programs of a default run: one of each family."""

NOT_YET: dict[str, str] = {}
"""Defects that the emulator does not find today. Each is a strict xfail, so that it fails visibly here once it is found."""

TWIN_NOT_YET: dict[str, str] = {}
"""Corrected twins that the emulator refuses or accuses today."""


def params(chosen: tuple[Defect, ...], reasons: dict[str, str]) -> list[ParameterSet]:
    return [
        pytest.param(
            defect,
            id=f"{defect.family.replace(',', '').replace(' ', '_')}-{defect.name}",
            marks=[pytest.mark.xfail(reason=reasons[defect.name], raises=AssertionError, strict=True)]
            if defect.name in reasons
            else [],
        )
        for defect in chosen
    ]


SAMPLED = tuple(defect for defect in DEFECTS if defect.name in SAMPLE)


@pytest.mark.parametrize("defect", params(SAMPLED, NOT_YET))
def test_sample_is_found(defect: Defect) -> None:
    check_defect(defect)


@pytest.mark.parametrize("defect", params(SAMPLED, TWIN_NOT_YET))
def test_sample_corrected(defect: Defect) -> None:
    check_twin(defect)


@pytest.mark.corpus
@pytest.mark.parametrize("defect", params(DEFECTS, NOT_YET))
def test_every_defect_is_found(defect: Defect) -> None:
    check_defect(defect, SCHEDULES)


@pytest.mark.corpus
@pytest.mark.parametrize("defect", params(DEFECTS, TWIN_NOT_YET))
def test_every_corrected_twin_raises_nothing(defect: Defect) -> None:
    check_twin(defect, SCHEDULES)


def test_ten_kinds_with_ten_programs_each() -> None:
    assert sorted(Counter(defect.family for defect in DEFECTS).values()) == [10] * 10
    assert len({defect.name for defect in DEFECTS}) == 100
    assert {defect.family for defect in SAMPLED} == {defect.family for defect in DEFECTS}
    assert set(NOT_YET) | set(TWIN_NOT_YET) <= {defect.name for defect in DEFECTS}
