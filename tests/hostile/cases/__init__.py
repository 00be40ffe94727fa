"""The pairs, by family: each module of this folder holds some, in `PAIRS`."""

from __future__ import annotations

from hostile.cases import (
    bombs,
    branches,
    caches,
    disguises,
    expected,
    laundering,
    library,
    machine,
    memory,
    messages,
    outputs,
    patches,
    precision,
    processes,
    races,
    streams,
    training,
    worker,
)
from hostile.pair import Pair

FAMILIES = (
    bombs,
    branches,
    caches,
    disguises,
    expected,
    laundering,
    library,
    machine,
    memory,
    messages,
    outputs,
    patches,
    precision,
    processes,
    races,
    streams,
    training,
    worker,
)

PAIRS: tuple[Pair, ...] = tuple(pair for family in FAMILIES for pair in family.PAIRS)
