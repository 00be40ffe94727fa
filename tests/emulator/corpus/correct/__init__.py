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
    calls,
    control,
    cooperative,
    cub,
    integers,
    linear_algebra,
    math,
    memory,
    mma,
    narrow,
    nn,
    reductions,
    rng,
    rounding,
    sorting,
    warp,
    wmma,
)

SUBJECTS: Mapping[str, Collection] = {
    module.__name__.rpartition(".")[2]: module.cases
    for module in (
        *(basic, control, calls, memory, reductions, atomics, warp, barriers, cooperative, async_copy),
        *(wmma, mma, bits, integers, math, rounding, narrow, sorting, linear_algebra, nn, rng, cub),
    )
}
