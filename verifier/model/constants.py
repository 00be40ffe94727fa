"""The model's constants that samples of a GPU can settle: their priors, how far each may stray, and where they act.

Everything else in the model is architecture (lanes, units, wavefronts) or stays an estimate. Nine is few enough for the
micro-benchmarks to tell them apart; a constant that no sample speaks about keeps its prior.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["FITTED", "Constants", "Fitted"]


class Constants(BaseModel):
    """What the model assumes of every card until it is calibrated on one."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    l2_share: float = Field(default=1.0, ge=0.2, le=1.6)
    """Of the table's `l2_bandwidth`, which is 0.65 of what the white papers' bytes per clock would give: 1 by definition,
    1.54 where all of that is reached."""
    loaded_latency: float = Field(default=2.0, ge=1.0, le=6.0)
    """DRAM latency under load over unloaded. Estimate: queues near saturation about double it; with this an H200 needs
    some 20 KB in flight per SM, near what NVIDIA's tuning talks ask for on Hopper."""
    instruction_clocks: float = Field(default=2.0, ge=0.5, le=8.0)
    """Clocks from one instruction of a warp to its next: 4 for a dependent pair (arXiv:1903.07486 and later), halved
    for the independent neighbours that compiled code has (estimate)."""
    barrier_clocks: float = Field(default=30.0, ge=5.0, le=300.0)
    """Clocks from the last arrival until a block runs on (estimate from published microbenchmarks: 20 to 40)."""
    overlap: float = Field(default=3.0, ge=1.0, le=12.0)
    """Exponent p of ``(a**p + b**p) ** (1/p)``, how throughput and latency join: equal ones cost 26 % more than either
    alone, one of half the other 4 %. Estimate, in place of a sharp maximum."""
    atomic_share: float = Field(default=1.0, ge=0.02, le=8.0)
    """Sectors of global atomics that one L2 slice does per clock (estimate: one)."""


@dataclass(frozen=True)
class Fitted:
    """One constant that calibration may move."""

    name: str
    """A field of `Gpu`, or of `Constants`."""
    unit: str
    spread: float
    """Standard deviation of the prior, of the constant's natural logarithm: how sure the estimate is."""
    low: float
    high: float
    """Beyond these the constant would mean something else."""
    meaning: str


FITTED = (
    Fitted("launch_seconds", "s", 0.4, 2e-7, 5e-5, "what one more small launch adds"),
    Fitted("dram_share", "of the data sheet's bandwidth", 0.1, 0.3, 1.0, "what a long copy reaches"),
    Fitted("l2_share", "of the table's L2 bandwidth", 0.3, 0.2, 1.6, "what reads from L2 reach"),
    Fitted("loaded_latency", "of the unloaded latency", 0.3, 1.0, 6.0, "DRAM latency under load"),
    Fitted("instruction_clocks", "clocks", 0.3, 0.5, 8.0, "from one instruction of a warp to its next"),
    Fitted("barrier_clocks", "clocks", 0.5, 5.0, 300.0, "of a block barrier"),
    Fitted("overlap", "", 0.4, 1.0, 12.0, "exponent that joins throughput and latency"),
    Fitted("mma_share", "of the tensor peak", 0.3, 0.2, 1.0, "what mma.sync reaches"),
    Fitted("atomic_share", "sectors per clock and L2 slice", 0.8, 0.02, 8.0, "of global atomics"),
)
"""The spreads are estimates: a tenth where published figures agree (`dram_share`), about twice or half (0.8) where they do
not (`atomic_share`: it depends on the addresses, which counters do not tell)."""
