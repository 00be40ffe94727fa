"""Counters by source line: what basic blocks cost, times how often they ran, and what the sites' calls counted."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence

from kernelwright.sandbox.emulator.emit import Translated
from kernelwright.sandbox.emulator.native import COUNTERS, SiteCounts
from kernelwright.sandbox.launch import LineCounters

__all__ = ["line_counters"]

_FROM_SITES = (
    "global_load_requests", "global_load_sectors", "global_load_bytes",
    "global_store_requests", "global_store_sectors", "global_store_bytes",
    "global_atomic_requests", "global_atomic_sectors",
    "shared_load_requests", "shared_load_wavefronts", "shared_load_bytes",
    "shared_store_requests", "shared_store_wavefronts", "shared_store_bytes",
    "shared_atomic_requests", "local_load_bytes", "local_store_bytes", "barriers", "divergent_branches",
)  # fmt: skip
"""The counters that calls of the runtime add to; the rest follows from the basic blocks."""
_AT = tuple((name, COUNTERS.index(name)) for name in _FROM_SITES)


class _Line:
    """The counters of one line while they are added up."""

    def __init__(self) -> None:
        self.called_from: set[int] = set()
        self.classes: dict[str, int] = {}
        self.flops: dict[str, int] = {}
        self.counts: dict[str, int] = {}

    def count(self, name: str, value: int) -> None:
        if value:
            self.counts[name] = self.counts.get(name, 0) + value


def line_counters(
    source: str,
    translated: Translated,
    block_counts: ctypes.Array[ctypes.c_uint64],
    site_counts: ctypes.Array[SiteCounts],
) -> tuple[LineCounters, ...]:
    """The counters of every line of which an instruction ran, by line number.

    Args:
        block_counts: for each basic block how often a warp entered it, with how many lanes in all, and how often the
            branch at its end diverged.
        site_counts: for each site what its calls counted.
    """
    lines: dict[int, _Line] = {}
    for number, block in enumerate(translated.blocks):
        warps, lanes, diverged = (int(n) for n in block_counts[3 * number : 3 * number + 3])
        if not warps:
            continue
        for cost in block.lines:
            line = lines.setdefault(cost.line, _Line())
            line.called_from |= cost.called_from
            issued = sum(cost.classes.values())
            line.count("warp_instructions", warps * issued)
            line.count("thread_instructions", lanes * issued)
            line.count("branches", warps * cost.branches)
            _add(line.classes, cost.classes, warps)
            _add(line.flops, cost.flops, lanes)
        lines.setdefault(block.branch_line, _Line()).count("divergent_branches", diverged)
    for site, counts in zip(translated.sites, site_counts, strict=False):
        line = lines.setdefault(site.where.line or 0, _Line())
        for name, at in _AT:
            line.count(name, int(counts.of[at]))
        line.count("global_load_ideal_sectors", int(counts.ideal_load_sectors))
        line.count("global_store_ideal_sectors", int(counts.ideal_store_sectors))
    texts = source.splitlines()
    return tuple(
        LineCounters(
            line=number,
            text=_text(texts, number),
            called_from=tuple(sorted(line.called_from)),
            classes=line.classes,
            flops=line.flops,
            **line.counts,
        )
        for number, line in sorted(lines.items())
        if line.counts
    )


def _add(into: dict[str, int], cost: Mapping[str, int], times: int) -> None:
    for name, count in cost.items():
        into[name] = into.get(name, 0) + times * count


def _text(texts: Sequence[str], line: int) -> str:
    return texts[line - 1].strip() if 0 < line <= len(texts) else ""
