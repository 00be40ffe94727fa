"""The pairs, by family."""

from __future__ import annotations

from hostile.cases import judge, library, memory
from hostile.pair import Pair

PAIRS: tuple[Pair, ...] = (*memory.PAIRS, *library.PAIRS, *judge.PAIRS)
