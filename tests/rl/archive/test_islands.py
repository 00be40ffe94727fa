"""Where a parent comes from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.rl.archive.islands import ArchiveSettings, IslandState, Origin, neighbour, origin

SETTINGS = ArchiveSettings(islands=2, migrate_every=10, stagnant_after=12, restart_after=30)
state = st.builds(
    IslandState,
    entries=st.integers(0, 99),
    since_gain=st.integers(0, 99),
    migrated_at=st.integers(0, 99),
    cells=st.integers(0, 3),
    neighbours_cells=st.integers(0, 3),
    others_cells=st.integers(0, 6),
    holds_best=st.booleans(),
).filter(
    lambda s: s.neighbours_cells <= s.others_cells and s.migrated_at <= s.entries and (s.cells or not s.holds_best)
)


def of(**changes: int) -> Origin:
    usual = {
        "entries": 5,
        "since_gain": 0,
        "migrated_at": 0,
        "cells": 2,
        "neighbours_cells": 1,
        "others_cells": 1,
        "holds_best": False,
    }
    return origin(IslandState(**(usual | changes)), SETTINGS)  # type: ignore[arg-type]


def test_each_origin() -> None:
    assert of() is Origin.OWN
    assert of(entries=9) is Origin.OWN
    assert of(entries=10) is Origin.MIGRANT
    assert of(entries=10, migrated_at=1) is Origin.OWN
    assert of(entries=10, neighbours_cells=0) is Origin.OWN
    assert of(since_gain=11) is Origin.OWN
    assert of(since_gain=12) is Origin.OTHER_CELL
    assert of(since_gain=12, cells=1) is Origin.OWN
    assert of(since_gain=30) is Origin.RESTART
    assert of(since_gain=30, holds_best=True) is Origin.OTHER_CELL
    assert of(since_gain=30, others_cells=0, neighbours_cells=0) is Origin.OTHER_CELL
    assert of(cells=0) is Origin.BORROWED
    assert of(cells=0, others_cells=0, neighbours_cells=0) is Origin.NONE


@given(state)
def test_there_is_always_a_kernel_where_one_is_said_to_be(s: IslandState) -> None:
    match origin(s, SETTINGS):
        case Origin.OWN:
            assert s.cells
        case Origin.OTHER_CELL:
            assert s.cells > 1
        case Origin.MIGRANT:
            assert s.neighbours_cells
        case Origin.BORROWED:
            assert s.others_cells
        case Origin.RESTART:
            assert s.others_cells
            assert not s.holds_best
        case Origin.NONE:
            assert not s.cells + s.others_cells


def test_migrants_go_round() -> None:
    assert [neighbour(i, 3) for i in range(3)] == [2, 0, 1]
    assert neighbour(0, 1) == 0


@pytest.mark.parametrize("changes", [{"islands": 0}, {"islands": 65}, {"migrate_every": 0}, {"stagnant_after": 40}])
def test_settings_out_of_range(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"islands"):
        ArchiveSettings(**changes)
