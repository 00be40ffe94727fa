"""Programs with one planted defect each: ten kinds, ten programs of each."""

from __future__ import annotations

from emulator.corpus.case import Defect
from emulator.corpus.defects import (
    alignment,
    async_copy,
    barriers,
    bounds,
    endings,
    missing_lanes,
    races,
    uninitialised,
)

DEFECTS: tuple[Defect, ...] = tuple(
    defect
    for module in (bounds, alignment, uninitialised, races, barriers, missing_lanes, async_copy, endings)
    for defect in module.cases.defects
)
