"""What another number of slices of K would do to a launch of the matrix product template (see `matmul`): a forecast.

Checked against the emulator's counters of a 512 x 512 x 512 product, with 1, 2, 4 and 8 slices of two tile shapes: the modelled
time of the forecast launch is 0.90 to 1.28 times that of the real one, mostly 0.9 to 1.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kernelwright.sandbox.launch import LaunchReport

__all__ = ["with_slices"]

_MOST_THREADS = 1024
"""Of a block, on every GPU (CUDA C++ Programming Guide, table of technical specifications)."""
_STATIC_SHARED = 48 * 1024
"""Bytes of shared memory a block may declare statically."""
_SUM_BYTES = 4
"""Of one float32 sum."""
_FEWER_LOADS = 0.3
"""Registers of a thread fall with this power of the slices, since it stages less of a tile: fitted to the same reports."""
_BUSIEST = 1.1
"""Instructions of the busiest warp over the average one before slices are added: 1.00 to 1.05 without slices, more with."""
_SPARE_REGISTERS = 24
"""Registers of the template besides its sums: ptxas reports of the products named above."""


def with_slices(
    report: LaunchReport, old: int, new: int, choice: Mapping[str, int | str | bool]
) -> LaunchReport | None:
    """The launch with `new` slices instead of `old`; `choice` holds the kernel's other knobs as they will be.

    The same multiplications and shared loads are divided among more warps, and each slice's sums are added through shared
    memory at the end. Barriers and the loop's own instructions are those of each warp, so more warps have more of them.
    None if the block would get too many threads or too much shared memory, or a step along K can't be divided so.
    """
    ratio = new / old
    threads = report.block[0] * ratio
    if threads > _MOST_THREADS or threads % 32 or int(choice["tile_k"]) % new:
        return None
    sums = int(choice["thread_m"]) * int(choice["thread_n"])
    group = report.block[0] // old
    resources = report.resources
    if resources is not None:
        exchange = sums * group * _SUM_BYTES * ((new > 1) - (old > 1))
        registers = max(round(resources.registers * ratio**-_FEWER_LOADS), 2 * sums + _SPARE_REGISTERS)
        resources = replace(resources, static_shared=resources.static_shared + exchange, registers=min(255, registers))
        if resources.static_shared > _STATIC_SHARED:
            return None
    c = report.counters
    # shared stores and as many loads of the slices that are added to the first
    moved = (new - old) * sums * max(1, group // 32) * max(1, c.blocks)
    warp = dict(c.warp_instructions)
    factors = {"control": ratio, "barrier": ratio, "int": 0.5 + 0.5 * ratio}
    warp = {name: max(0, round(count * factors.get(name, 1.0))) for name, count in warp.items()}
    warp["load_store"] = max(0, warp.get("load_store", 0) + 2 * moved)
    warps = max(1.0, c.warps * ratio)
    # the first slice adds the sums of all others
    longest = _BUSIEST * sum(warp.values()) / warps + 2 * (new - 1) * sums
    # the busiest warp loads at least once for either operand in each step along K (which has a barrier, or two)
    least = 2 * c.longest_warp_barriers // (2 if int(choice.get("stages", 2)) == 1 else 1)
    requests = (c.global_load_requests + c.global_store_requests) / warps
    return replace(
        report,
        block=(round(threads), 1, 1),
        resources=resources,
        counters=replace(
            c,
            warp_instructions=warp,
            warps=round(warps),
            barriers=round(c.barriers * ratio),
            branches=round(c.branches * ratio),
            shared_load_requests=max(0, c.shared_load_requests + moved),
            shared_load_wavefronts=max(0, c.shared_load_wavefronts + moved),
            shared_store_requests=max(0, c.shared_store_requests + moved),
            shared_store_wavefronts=max(0, c.shared_store_wavefronts + moved),
            longest_warp_instructions=max(1, round(longest)),
            longest_warp_global_requests=round(max(requests, least)),
        ),
    )
