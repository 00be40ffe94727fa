"""Correct programs, by subject."""

from __future__ import annotations

from collections.abc import Mapping

from emulator.corpus.case import Collection
from emulator.corpus.correct import (
    async_copy,
    atomics,
    barriers,
    basic,
    bits,
    control,
    cooperative,
    cub,
    math,
    memory,
    narrow,
    nn,
    reductions,
    rng,
    sorting,
    tensor,
    warp,
)

SUBJECTS: Mapping[str, Collection] = {
    module.__name__.rpartition(".")[2]: module.cases
    for module in (
        *(basic, control, memory, reductions, atomics, warp, barriers, cooperative, async_copy),
        *(tensor, bits, math, narrow, sorting, nn, rng, cub),
    )
}
