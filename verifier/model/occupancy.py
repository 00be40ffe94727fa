"""Occupancy: how many blocks and warps of a kernel fit on one SM, and what keeps more from fitting.

The rules are those of the CUDA occupancy calculator (`cuda_occupancy.h` of the CUDA toolkit).
"""

from __future__ import annotations

from dataclasses import dataclass

from kernelwright.sandbox.launch import KernelResources
from kernelwright.verifier.model.gpus import Gpu

__all__ = ["Occupancy", "occupancy"]

WARP = 32
"""Threads of a warp, on every CUDA device."""
SUBPARTITIONS = 4
"""Parts of an SM that each have a quarter of the registers (every architecture in the table; cuda_occupancy.h)."""


@dataclass(frozen=True)
class Occupancy:
    """Resident blocks and warps per SM.

    `limits` gives the blocks that each resource alone would allow: `registers`, `shared`, `warps`, `blocks`.
    `blocks` is 0 when a GPU would refuse the launch; `limited_by` then says why.
    """

    blocks: int
    warps: int
    threads_per_block: int
    warps_per_block: int
    limits: dict[str, int]
    limited_by: str
    fraction: float
    """Resident warps over the most an SM can hold, in [0, 1]."""
    shared_per_block: int
    """Bytes of shared memory one block takes, the driver's reserve included."""

    def to_json(self) -> dict[str, object]:
        """A JSON object for tables and pages."""
        return {
            "blocks_per_sm": self.blocks,
            "warps_per_sm": self.warps,
            "fraction": self.fraction,
            "limited_by": self.limited_by,
            "limits": dict(self.limits),
        }


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def occupancy(resources: KernelResources | None, threads: int, dynamic_shared: int, gpu: Gpu) -> Occupancy:
    """Resident blocks and warps per SM for blocks of `threads` threads.

    Args:
        resources: of ptxas; None means unknown, which counts as no register and no static shared memory.
        threads: per block, at least 1.
        dynamic_shared: bytes per block given at launch.
    """
    registers = resources.registers if resources else 0
    static = resources.static_shared if resources else 0
    warps_per_block = -(-max(1, threads) // WARP)

    by_warps = min(gpu.max_warps, gpu.max_threads // WARP) // warps_per_block
    if registers > gpu.max_registers_per_thread:
        by_registers = 0
    elif registers:
        per_warp = _round_up(registers * WARP, gpu.register_unit)
        warps_per_part = (gpu.registers // SUBPARTITIONS) // per_warp
        by_registers = warps_per_part * SUBPARTITIONS // warps_per_block
        # a block must fit as if its warps filled the sub-partitions evenly
        if per_warp * _round_up(warps_per_block, SUBPARTITIONS) > gpu.registers:
            by_registers = 0
    else:
        by_registers = gpu.max_blocks

    asked = static + dynamic_shared
    shared = _round_up(asked + gpu.shared_reserved, gpu.shared_unit)
    if asked > gpu.shared_per_block:
        by_shared = 0
    elif shared == 0:
        by_shared = gpu.max_blocks
    else:
        by_shared = gpu.shared_per_sm // shared

    limits = {"registers": by_registers, "shared": by_shared, "warps": by_warps, "blocks": gpu.max_blocks}
    blocks = min(limits.values())
    # at equal limits name the one that more thought can lift first
    limited_by = next(name for name in ("registers", "shared", "warps", "blocks") if limits[name] == blocks)
    if limits["warps"] == blocks:
        limited_by = "warps"
    warps = blocks * warps_per_block
    return Occupancy(
        blocks=blocks,
        warps=warps,
        threads_per_block=threads,
        warps_per_block=warps_per_block,
        limits=limits,
        limited_by=limited_by,
        fraction=warps / gpu.max_warps,
        shared_per_block=shared,
    )
