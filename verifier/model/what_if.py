"""What a change of one parameter would do to a launch's counters: a forecast, so that the model can price it first.

The knobs are the built-in coder's. A forecast is a rule of thumb on counters (twice the vector width, half the
requests); the evaluation that follows counts for real, and the judge believes that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from kernelwright.sandbox.launch import Counters, KernelResources, LaunchReport
from kernelwright.verifier.model.analytic import WORKING_REGISTERS
from kernelwright.verifier.model.occupancy import WARP

__all__ = ["KNOBS", "what_if"]

Value = int | str | bool
Rule = Callable[[LaunchReport, float, Mapping[str, Value]], LaunchReport | None]

BOOKKEEPING = 0.5
"""Share of integer and control instructions that belongs to the memory accesses (addresses, bounds), the rest to the
elements themselves. Estimate from our own templates."""


def _times(count: int, factor: float) -> int:
    return max(0, round(count * factor))


def _scaled(c: Counters, names: tuple[str, ...], factor: float) -> dict[str, Any]:
    return {name: _times(getattr(c, name), factor) for name in names}


def _with_instructions(c: Counters, factors: Mapping[str, float]) -> Counters:
    warp = {name: _times(n, factors.get(name, 1.0)) for name, n in c.warp_instructions.items()}
    thread = {name: _times(n, factors.get(name, 1.0)) for name, n in c.thread_instructions.items()}
    before, after = sum(c.warp_instructions.values()), sum(warp.values())
    longest = _times(c.longest_warp_instructions, after / before) if before else c.longest_warp_instructions
    return replace(c, warp_instructions=warp, thread_instructions=thread, longest_warp_instructions=longest)


def _registers(report: LaunchReport, factor: float, extra: float = 0.0) -> KernelResources | None:
    resources = report.resources
    if resources is None:
        return None
    return replace(resources, registers=min(255, max(16, round(resources.registers * factor + extra))))


def _kept_data(report: LaunchReport, factor: float, choice: Mapping[str, Value]) -> KernelResources | None:
    """Registers when each thread holds `factor` times as much of a row; only that strategy keeps rows in registers."""
    resources = report.resources
    if resources is None or choice.get("strategy") != "registers":
        return resources
    data = max(0, resources.registers - WORKING_REGISTERS)
    return replace(resources, registers=min(255, round(WORKING_REGISTERS + data * factor)))


def _regrid(report: LaunchReport, factor: float) -> LaunchReport:
    """`factor` times the blocks, counted along x (the model looks at their number only), the same total work."""
    c = report.counters
    before = report.grid[0] * report.grid[1] * report.grid[2]
    after = max(1, math.ceil(before * factor - 1e-9))
    blocks = after if c.blocks == before else max(1, _times(c.blocks, after / before))
    return replace(report, grid=(after, 1, 1), counters=replace(c, blocks=blocks))


def _by_rows(choice: Mapping[str, Value]) -> bool:
    """Whether the kernel's grid follows rows or tiles (then more work per thread means fewer loop turns)."""
    return any(knob in choice for knob in ("rows_per_block", "strategy", "tile_m", "tile_n", "tile_q"))


def _with_work_per_thread(report: LaunchReport, ratio: float, choice: Mapping[str, Value]) -> LaunchReport:
    """Each warp does `ratio` times as much, where the grid follows elements: fewer warps in fewer blocks."""
    if _by_rows(choice):
        return report
    report = _regrid(report, 1 / ratio)
    c = report.counters
    return replace(
        report,
        counters=replace(
            c,
            warps=max(1, _times(c.warps, 1 / ratio)),
            longest_warp_instructions=_times(c.longest_warp_instructions, ratio),
            longest_warp_global_requests=_times(c.longest_warp_global_requests, ratio),
        ),
    )


def _vector_width(report: LaunchReport, ratio: float, choice: Mapping[str, Value]) -> LaunchReport:
    fewer = 1.0 / ratio
    bookkeeping = 1.0 - BOOKKEEPING + BOOKKEEPING * fewer
    c = _with_instructions(
        report.counters, {"load_store": fewer, "int": bookkeeping, "control": bookkeeping, "convert": bookkeeping}
    )
    c = replace(
        c,
        **_scaled(c, ("global_load_requests", "global_store_requests", "branches"), fewer),
        longest_warp_global_requests=max(1, _times(c.longest_warp_global_requests, fewer)),
    )
    # one register a lane and element in flight
    extra = 2.0 * ((ratio - 1.0) if ratio > 1 else -(1.0 / ratio - 1.0))
    return _with_work_per_thread(replace(report, counters=c, resources=_registers(report, 1.0, extra)), ratio, choice)


def _threads(report: LaunchReport, ratio: float, choice: Mapping[str, Value]) -> LaunchReport | None:
    threads = report.block[0] * report.block[1] * report.block[2] * ratio
    if threads > 1024 or threads < WARP or report.block[1] * report.block[2] != 1:
        return None
    block = (round(report.block[0] * ratio), 1, 1)
    c = report.counters
    if not _by_rows(choice):
        return replace(_regrid(report, 1 / ratio), block=block)
    # the same rows by more warps: each has fewer elements, and every warp still meets every barrier and shuffle
    c = _with_instructions(c, {"shuffle": ratio, "barrier": ratio})
    return replace(
        report,
        block=block,
        resources=_kept_data(report, 1 / ratio, choice),
        counters=replace(
            c,
            warps=_times(c.warps, ratio),
            barriers=_times(c.barriers, ratio),
            longest_warp_instructions=_times(c.longest_warp_instructions, 1 / ratio),
            longest_warp_global_requests=max(1, _times(c.longest_warp_global_requests, 1 / ratio)),
        ),
    )


def _unroll(report: LaunchReport, ratio: float, choice: Mapping[str, Value]) -> LaunchReport:
    if not _by_rows(choice):
        return _items_per_thread(report, ratio, choice)  # no loop over elements: each thread does more of them
    c = _with_instructions(report.counters, {"control": 1 / ratio})
    c = replace(c, branches=_times(c.branches, 1 / ratio))
    return replace(report, counters=c, resources=_registers(report, 1.0, 2.0 * (ratio - 1.0)))


def _items_per_thread(report: LaunchReport, ratio: float, choice: Mapping[str, Value]) -> LaunchReport:
    bookkeeping = 1.0 - BOOKKEEPING + BOOKKEEPING / ratio
    c = _with_instructions(report.counters, {"int": bookkeeping, "control": bookkeeping})
    c = replace(c, branches=_times(c.branches, 1 / ratio))
    more = replace(report, counters=c, resources=_registers(report, 1.0, 2.0 * (ratio - 1.0)))
    return _with_work_per_thread(more, ratio, choice)


def _rows_per_block(report: LaunchReport, ratio: float, choice: Mapping[str, Value]) -> LaunchReport | None:
    kept = _kept_data(report, ratio, choice)
    report = _regrid(report, 1 / ratio)
    if "threads" not in choice:  # a warp or more for each row: the block grows
        threads = report.block[0] * report.block[1] * report.block[2] * ratio
        if threads > 1024 or threads < WARP:
            return None
        return replace(report, block=(round(threads), 1, 1))
    c = report.counters
    fewer = 1.0 / ratio
    return replace(
        report,
        resources=kept,
        counters=replace(
            c,
            warps=max(1, _times(c.warps, fewer)),
            longest_warp_instructions=_times(c.longest_warp_instructions, ratio),
            longest_warp_global_requests=_times(c.longest_warp_global_requests, ratio),
        ),
    )


def _tile(report: LaunchReport, ratio: float, choice: Mapping[str, Value]) -> LaunchReport | None:
    """A larger output tile has more threads, and reads the other operand less often; half of all loads are that one's."""
    threads = report.block[0] * report.block[1] * report.block[2] * ratio
    if threads < WARP or threads > 1024:
        return None
    half = 0.5 + 0.5 / ratio
    report = _regrid(report, 1 / ratio)
    c = report.counters
    c = replace(
        c,
        **_scaled(c, ("global_load_requests", "global_load_sectors", "global_load_bytes"), half),
        longest_warp_global_requests=max(1, _times(c.longest_warp_global_requests, half)),
    )
    resources = report.resources
    if resources is not None:
        resources = replace(resources, static_shared=_times(resources.static_shared, 0.5 + 0.5 * ratio))
    return replace(
        report,
        block=(round(threads), 1, 1),
        counters=c,
        resources=resources,
    )


def _thread_tile(report: LaunchReport, ratio: float, choice: Mapping[str, Value]) -> LaunchReport | None:
    """More outputs a thread: fewer shared loads for each, fewer threads, more registers."""
    threads = report.block[0] * report.block[1] * report.block[2] / ratio
    if threads < WARP or threads > 1024:
        return None
    half = 0.5 + 0.5 / ratio
    c = report.counters
    shared_share = c.shared_load_requests / max(1, c.warp_instructions.get("load_store", 0))
    c = _with_instructions(
        c, {"load_store": 1.0 - shared_share * (1.0 - half), "int": half, "control": 1 / ratio, "barrier": 1 / ratio}
    )
    c = replace(
        c,
        **_scaled(c, ("shared_load_requests", "shared_load_wavefronts", "shared_load_bytes"), half),
        warps=max(1, _times(c.warps, 1 / ratio)),
        barriers=_times(c.barriers, 1 / ratio),
        longest_warp_instructions=_times(c.longest_warp_instructions, ratio),
        longest_warp_global_requests=_times(c.longest_warp_global_requests, ratio),
    )
    return replace(
        report,
        block=(max(1, round(threads)), 1, 1),
        counters=c,
        resources=_registers(report, 0.4 + 0.6 * ratio),
    )


def _tile_k(report: LaunchReport, ratio: float, choice: Mapping[str, Value]) -> LaunchReport:
    c = _with_instructions(report.counters, {"barrier": 1 / ratio, "control": 0.5 + 0.5 / ratio})
    c = replace(
        c,
        barriers=_times(c.barriers, 1 / ratio),
        longest_warp_barriers=_times(c.longest_warp_barriers, 1 / ratio),
    )
    resources = report.resources
    if resources is not None:
        resources = replace(resources, static_shared=_times(resources.static_shared, ratio))
    return replace(report, counters=c, resources=resources)


def _stages(report: LaunchReport, ratio: float, choice: Mapping[str, Value]) -> LaunchReport:
    """The next tile's loads run under this tile's work: half the barriers, more shared memory and registers."""
    c = report.counters
    c = replace(
        c,
        barriers=_times(c.barriers, 1 / ratio),
        longest_warp_barriers=_times(c.longest_warp_barriers, 1 / ratio),
    )
    resources = report.resources
    if resources is not None:
        shared = _times(resources.static_shared, ratio)
        resources = replace(resources, static_shared=shared, registers=min(255, resources.registers + 8))
    return replace(report, counters=c, resources=resources)


def _split(report: LaunchReport, ratio: float, choice: Mapping[str, Value]) -> LaunchReport:
    """The same work by more blocks, each with a shorter part of the row or inner dimension."""
    report = _regrid(report, ratio)
    c = report.counters
    return replace(
        report,
        counters=replace(
            c,
            warps=max(1, _times(c.warps, ratio)),
            **_scaled(
                c,
                ("global_store_requests", "global_store_sectors", "global_store_bytes", "global_store_unique_bytes"),
                ratio,
            ),
            longest_warp_instructions=_times(c.longest_warp_instructions, 1 / ratio),
            longest_warp_global_requests=max(1, _times(c.longest_warp_global_requests, 1 / ratio)),
        ),
    )


_RULES: dict[str, Rule] = {
    "vector_width": _vector_width,
    "threads": _threads,
    "unroll": _unroll,
    "items_per_thread": _items_per_thread,
    "rows_per_block": _rows_per_block,
    "tile_m": _tile,
    "tile_n": _tile,
    "tile_k": _tile_k,
    "thread_m": _thread_tile,
    "thread_n": _thread_tile,
    "stages": _stages,
    "split": _split,
}

KNOBS: tuple[str, ...] = tuple(_RULES)
"""Knobs that can be forecast."""


def what_if(
    report: LaunchReport, knob: str, old: Value, new: Value, choice: Mapping[str, Value]
) -> LaunchReport | None:
    """The launch as it might be with `knob` at `new` instead of `old`; `choice` holds all knobs of this kernel.

    Returns None where no forecast is possible: an unknown knob, a value that is no positive number, or blocks that
    would get too many or too few threads.
    """
    rule = _RULES.get(knob)
    numbers = isinstance(old, int) and isinstance(new, int) and not isinstance(old, bool) and not isinstance(new, bool)
    if rule is None or not numbers:
        return None
    old_number, new_number = int(old), int(new)
    if old_number < 1 or new_number < 1:
        return None
    return rule(report, new_number / old_number, choice)
