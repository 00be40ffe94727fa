"""What a launch of the matrix product template would count on tensor cores (see `tensor_tiles`): a forecast by counting its loops.

Instructions besides copies, fragment loads and products are fitted to the emulator's counters of a 1024 x 1024 x 1024 product
of halves, under 8 choices of tiles: `tests/agents/test_builtin_tensor.py` holds the forecast to 25 % of the modelled time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kernelwright.agents.builtin.generated import ceil_div
from kernelwright.agents.builtin.tensor_tiles import DEPTH, possible, shared_bytes
from kernelwright.agents.builtin.tile_operands import STATIC_SHARED
from kernelwright.sandbox.launch import Counters, KernelResources, LaunchReport

__all__ = ["on_tensor_cores"]

Choice = Mapping[str, int | str | bool]

_WARP, _SECTOR = 32, 32
_VECTOR_BYTES = 16
"""Of one copy of a thread."""
_SUM_BYTES, _HALF_BYTES = 4, 2
_MMA_FLOPS = 2 * 16 * 8 * DEPTH
"""Of one mma.m16n8k16."""
_INT_PER_COPY, _INT_PER_STEP, _INT_PER_SUM = 1.5, 20.0, 9.0
"""Integer instructions of a warp: addresses and bounds, the ring of stages, the way of the sums to memory (fitted)."""
_MOVES_PER_SUM = 2.4
"""Memory instructions of a warp for each sum of a thread, at the end (fitted)."""
_OWN_REGISTERS = 26
"""Registers besides sums and fragments (fitted to ptxas reports)."""


@dataclass(frozen=True)
class _Work:
    """A product as a whole, with the padding of its tiles: elements of the result, and the inner length."""

    area: float
    inner: int


def on_tensor_cores(report: LaunchReport, old: Choice, new: Choice) -> LaunchReport | None:
    """The launch with the knobs `new` instead of `old`, where `new` is on tensor cores; None if that can't be.

    From one choice on tensor cores to another, the real counters are scaled by what both should count; from CUDA cores, the
    counts themselves are taken.
    """
    if new["cores"] != "tensor" or not possible(new):
        return None
    c = report.counters
    tiles = float(max(1, c.blocks)) * int(old["tile_m"]) * int(old["tile_n"]) / int(old.get("split", 1))
    flops = c.flops.get("tensor" if old["cores"] == "tensor" else "fp32", 0)
    work = _Work(tiles, max(1, round(flops / (2 * tiles))))
    resources = report.resources or KernelResources(0)
    after = _counted(work, new, c, resources)
    if old["cores"] == "tensor":
        after = _scaled(report, _counted(work, old, c, resources), after)
    static = shared_bytes(new, padded=True)
    dynamic = 0 if static <= STATIC_SHARED else static
    assert after.resources is not None
    return replace(after, dynamic_shared=dynamic, resources=replace(after.resources, static_shared=static - dynamic))


def _counted(work: _Work, p: Choice, c: Counters, resources: KernelResources) -> LaunchReport:
    """The launch, by counting what the template's loops do; what reaches memory but once is as in `c`."""
    tm, tn, tk, rm, rn = (int(p[k]) for k in ("tile_m", "tile_n", "tile_k", "thread_m", "thread_n"))
    threads = (tm // rm) * (tn // rn)
    blocks = max(1, round(work.area / (tm * tn)))
    warps = blocks * threads // _WARP
    split = int(p.get("split", 1))
    blocks *= split
    warps *= split
    steps = ceil_div(ceil_div(work.inner, tk), split)
    copies = steps * (ceil_div(2 * tm * tk, threads * _VECTOR_BYTES) + ceil_div(2 * tn * tk, threads * _VECTOR_BYTES))
    depth = steps * ceil_div(tk, DEPTH)
    fragments = depth * (rm // 2 + max(1, rn // 4))
    products = depth * (rm // 2) * (rn // 2)
    sums = rm * rn
    asynchronous = p["copy"] == "async"
    warp = {
        "tensor": products,
        "load_store": copies * (1 if asynchronous else 2) + fragments + _MOVES_PER_SUM * sums,
        "int": _INT_PER_COPY * copies + _INT_PER_STEP * steps + _INT_PER_SUM * sums,
        "control": (2 if asynchronous else 3) * steps,
        "barrier": steps + 1 if asynchronous or int(p["stages"]) == 2 else 2 * steps,
    }
    total = {name: round(count * warps) for name, count in warp.items()}
    moved = round(0.5 * _MOVES_PER_SUM * sums) * warps
    loads, stores = fragments * warps + moved, copies * warps + moved
    # rows of a tile of fewer than 64 elements along K start inside the 128 bytes of another one
    passes = 4 if tk >= 64 else 6
    # sums of a part are stored as they are, results in 16 bits
    written = round(work.area * (_SUM_BYTES * split if split > 1 else _HALF_BYTES))
    requests, stored = copies * warps, max(1, written // (_WARP * _VECTOR_BYTES))
    counters = Counters(
        warp_instructions=total,
        thread_instructions={name: count * _WARP for name, count in total.items()},
        flops={"tensor": products * _MMA_FLOPS * warps},
        global_load_requests=requests,
        global_load_sectors=requests * _WARP * _VECTOR_BYTES // _SECTOR,
        global_load_bytes=requests * _WARP * _VECTOR_BYTES,
        global_load_unique_bytes=c.global_load_unique_bytes,
        global_store_requests=stored,
        global_store_sectors=stored * _WARP * _VECTOR_BYTES // _SECTOR,
        global_store_bytes=written,
        global_store_unique_bytes=written,
        shared_load_requests=loads,
        shared_load_wavefronts=4 * loads,
        shared_load_bytes=loads * _WARP * _VECTOR_BYTES,
        shared_store_requests=stores,
        shared_store_wavefronts=passes * stores,
        shared_store_bytes=stores * _WARP * _VECTOR_BYTES,
        barriers=round(warp["barrier"]) * warps,
        branches=2 * steps * warps,
        longest_warp_instructions=round(sum(warp.values())),
        longest_warp_global_requests=copies + stored // max(1, warps),
        longest_warp_barriers=round(warp["barrier"]),
        warps=warps,
        blocks=blocks,
    )
    registers = min(255, sums + 2 * rm + rn + _OWN_REGISTERS)
    return LaunchReport("", (blocks, 1, 1), (threads, 1, 1), 0, counters, replace(resources, registers=registers))


def _scaled(real: LaunchReport, counted: LaunchReport, wanted: LaunchReport) -> LaunchReport:
    """`real` with each number changed in the ratio in which `wanted` differs from `counted`, its own counterpart."""

    def number(name: str) -> int:
        was, before, after = (getattr(r.counters, name) for r in (real, counted, wanted))
        return round(was * after / before) if before else int(was)

    def classes(name: str) -> dict[str, int]:
        was, before, after = (getattr(r.counters, name) for r in (real, counted, wanted))
        return {key: round(n * after[key] / before[key]) if before.get(key) else n for key, n in was.items()}

    plain = [name for name in real.counters.to_json() if isinstance(getattr(real.counters, name), int)]
    assert wanted.resources is not None
    assert counted.resources is not None
    resources = real.resources
    if resources is not None:
        more = wanted.resources.registers - counted.resources.registers
        resources = replace(resources, registers=min(255, max(16, resources.registers + more)))
    before, after = (r.counters.flops.get("tensor", 0) for r in (counted, wanted))
    share = after / before if before else 1.0
    plain_counts: dict[str, Any] = {name: number(name) for name in plain}
    counters = replace(
        real.counters,
        **plain_counts,
        tensor_flops={kind: round(count * share) for kind, count in real.counters.tensor_flops.items()},
        warp_instructions=classes("warp_instructions"),
        thread_instructions=classes("thread_instructions"),
        flops=classes("flops"),
    )
    share = wanted.grid[0] / counted.grid[0]
    grid = (max(1, round(real.grid[0] * real.grid[1] * real.grid[2] * share)), 1, 1)
    blocks = grid[0] if not real.sampled else max(1, min(grid[0], counters.blocks))
    return replace(
        real,
        grid=grid,
        block=wanted.block,
        counters=replace(counters, blocks=blocks),
        resources=resources or wanted.resources,
    )
