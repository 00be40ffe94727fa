"""Cells: every kernel has one, and the bounds are where the documentation says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.rl.archive.cells import all_cells, cell_of
from kernelwright.rl.archive.features import TAGS, Features

some = st.builds(
    Features,
    registers=st.integers(0, 255),
    shared_bytes=st.integers(0, 232_448),
    occupancy=st.floats(0, 1),
    dram_share=st.floats(0, 1),
    launches=st.integers(1, 9),
    tags=st.lists(st.sampled_from(list(TAGS)), unique=True).map(tuple),
)


@given(some)
def test_every_kernel_has_one_of_the_cells(features: Features) -> None:
    assert cell_of(features) in set(all_cells())
    assert len(cell_of(features)) <= 64  # what the database holds
    assert Features.from_json(features.to_json()) == features


def test_cells_are_told_apart() -> None:
    assert len(set(all_cells())) == len(all_cells()) == 4 * 4 * 3 * 3 * 6


@pytest.mark.parametrize(
    ("changes", "cell"),
    [
        ({}, "r0-s0-o50-d67-plain"),
        ({"registers": 33}, "r32-s0-o50-d67-plain"),
        ({"registers": 64}, "r32-s0-o50-d67-plain"),
        ({"registers": 65}, "r64-s0-o50-d67-plain"),
        ({"registers": 129}, "r128-s0-o50-d67-plain"),
        ({"shared_bytes": 1}, "r0-s1-o50-d67-plain"),
        ({"shared_bytes": 16384}, "r0-s1-o50-d67-plain"),
        ({"shared_bytes": 16385}, "r0-s16k-o50-d67-plain"),
        ({"shared_bytes": 49153}, "r0-s48k-o50-d67-plain"),
        ({"occupancy": 0.49}, "r0-s0-o25-d67-plain"),
        ({"occupancy": 0.24}, "r0-s0-o0-d67-plain"),
        ({"dram_share": 0.5}, "r0-s0-o50-d33-plain"),
        ({"dram_share": 0.1}, "r0-s0-o50-d0-plain"),
        ({"tags": ("vectorised", "shared_tiling")}, "r0-s0-o50-d67-shared_tiling"),
        ({"tags": ("atomics", "several_launches")}, "r0-s0-o50-d67-plain"),
    ],
)
def test_bounds(changes: dict[str, object], cell: str) -> None:
    plain = {"registers": 32, "shared_bytes": 0, "occupancy": 0.5, "dram_share": 0.9, "launches": 1, "tags": ()}
    assert cell_of(Features(**(plain | changes))) == cell  # type: ignore[arg-type]
