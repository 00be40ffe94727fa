"""Memory traffic of one launch: how many bytes reach L2 and DRAM, and how long one request takes.

Counters say what the warps asked for (sectors) and what they touched at least once (unique bytes). The difference
is re-reads, and where those are served is the question this file answers, by capacity alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from kernelwright.sandbox.launch import LaunchReport
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.verifier.model.occupancy import WARP, Occupancy

__all__ = ["L1_LATENCY", "SECTOR", "Traffic", "loaded_dram_seconds", "traffic"]

SECTOR = 32
"""Bytes; the unit of L1, L2 and DRAM traffic since Maxwell (Nsight Compute's documentation)."""
L1_LATENCY = 40.0
"""Clocks for an L1 hit: 43.4 / 37.9 / 40.7 on RTX 4090 / A100 / H100 (arXiv:2402.13499)."""
L1_REUSE = 0.5
"""Share of a launch's re-reads that L1 serves when the resident blocks' data fits it. Estimate: counters do not
tell a block's own re-reads (L1 serves them) from other blocks' (L1 does not), so half."""


@dataclass(frozen=True)
class Traffic:
    """Bytes of one whole launch, and the mean latency of a load."""

    l2_read: float
    l2_write: float
    dram_read: float
    dram_write: float
    local: float
    """Bytes of local arrays and spills through L1."""
    load_latency: float
    """Seconds until the data of a load is there, averaged over where loads are served."""

    @property
    def dram(self) -> float:
        """Bytes to and from DRAM."""
        return self.dram_read + self.dram_write

    @property
    def l2(self) -> float:
        """Bytes to and from L2."""
        return self.l2_read + self.l2_write


def loaded_dram_seconds(gpu: Gpu) -> float:
    """Latency of one DRAM access while the memory is busy, in seconds."""
    return gpu.dram_latency * gpu.constants.loaded_latency / gpu.clock_hz


def traffic(report: LaunchReport, occ: Occupancy, gpu: Gpu, scale: float) -> Traffic:
    """Traffic of the whole launch; `scale` is blocks in the grid over blocks that were counted."""
    c = report.counters
    grid = max(1, report.grid[0] * report.grid[1] * report.grid[2])
    resident = min(1.0, gpu.sms * occ.blocks / grid)

    spill_bytes = 0.0
    if report.resources is not None:
        spill_bytes = float(report.resources.spill_stores + report.resources.spill_loads) * c.warps * WARP
    local = (c.local_load_bytes + c.local_store_bytes + spill_bytes) * scale

    load_sectors = c.global_load_sectors * SECTOR * scale
    load_unique = min(c.global_load_unique_bytes * scale, load_sectors)
    store_sectors = c.global_store_sectors * SECTOR * scale
    store_unique = min(c.global_store_unique_bytes * scale, store_sectors)

    # L1 keeps what the blocks resident on one SM read again, as far as it is large enough.
    l1_bytes = max(0.0, gpu.unified_l1 - occ.blocks * occ.shared_per_block)
    sm_footprint = load_unique * resident / min(gpu.sms, grid)
    fits_l1 = 1.0 if sm_footprint <= l1_bytes else l1_bytes / sm_footprint
    rereads = load_sectors - load_unique
    l2_rereads = rereads * (1.0 - L1_REUSE * fits_l1)
    atomics = 2.0 * c.global_atomic_sectors * SECTOR * scale
    local_l2 = local * (1.0 - L1_REUSE)
    l2_read = load_unique + l2_rereads + local_l2 / 2 + atomics / 2
    l2_write = store_sectors + local_l2 / 2 + atomics / 2

    # Re-reads happen among blocks that run at the same time, so what those touch must fit L2.
    footprint = (load_unique + store_unique) * resident
    miss = 0.0 if footprint <= gpu.l2_bytes else 1.0 - gpu.l2_bytes / footprint
    dram_read = load_unique + l2_rereads * miss
    dram_write = store_unique + (store_sectors - store_unique) * miss

    # A load waits for the slowest level that any of its data comes from; shares are of the bytes lanes asked for.
    asked = max(1.0, c.global_load_bytes * scale)
    to_dram = min(1.0, dram_read / asked)
    to_l2 = max(to_dram, min(1.0, (load_unique + l2_rereads) / asked))
    clocks = L1_LATENCY + to_l2 * (gpu.l2_latency - L1_LATENCY)
    clocks += to_dram * max(0.0, gpu.dram_latency * gpu.constants.loaded_latency - gpu.l2_latency)
    latency = clocks / gpu.clock_hz if load_sectors > 0 else 0.0
    return Traffic(l2_read, l2_write, dram_read, dram_write, local, latency)
