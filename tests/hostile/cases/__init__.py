"""The pairs, by family: each module of this folder holds some, in `PAIRS`."""

from __future__ import annotations

from hostile.cases import disguises, expected, laundering, library, memory, messages, outputs, patches
from hostile.pair import Pair

FAMILIES = (disguises, expected, laundering, library, memory, messages, outputs, patches)

PAIRS: tuple[Pair, ...] = tuple(pair for family in FAMILIES for pair in family.PAIRS)
