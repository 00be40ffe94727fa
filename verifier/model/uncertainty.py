"""How far a modelled time may be off: an interval that should hold the measured time in 80 % of cases, and where it is from.

Without a calibration the width is a prior for each kind of limiter, an estimate. With one it is what held-out samples of that
GPU showed: the quantiles of log(measured / modelled) over kernels that the fit had not seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "CONFIDENCE",
    "PRIOR_FACTORS",
    "CalibrationNote",
    "Spread",
    "interval",
    "interval_source",
    "spread_of",
    "spreads_of",
]

CONFIDENCE = 0.80
"""Share of measured times that should lie within the interval."""

PRIOR_FACTORS: Mapping[str, float] = {
    "dram": 1.25,
    "fp32": 1.4, "fp64": 1.4, "shared": 1.4,
    "fp16": 1.5, "sfu": 1.5, "issue": 1.5, "load_store": 1.5,
    "int": 1.6, "convert": 1.6, "shuffle": 1.6, "l2": 1.6, "tensor": 1.6, "launch": 1.6,
    "latency": 1.8,
    "atomic": 3.0,
}  # fmt: skip
"""By what limits a launch: its time is taken to lie between the modelled one over this and times this. Estimates:
streaming kernels follow the achievable bandwidth closely, and the card's own dram_share is known to about a tenth; pipes lose
some tenths to what PTX does not show (ptxas, dual issue, clocks); L2 and launch figures in the literature differ by half;
latency rests on guesses about overlap; atomics depend on which addresses collide, which counters do not tell."""
_OTHER = 1.8
_LEAST = 9
"""Samples of a kind that a quantile of a tenth needs to lie inside them: (n + 1) / 10 >= 1."""
ALL = "all"


class Spread(BaseModel):
    """How log(measured / modelled) was spread over held-out samples."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    samples: int = Field(gt=0)
    low: float = Field(ge=-12.0, le=0.0)
    """Its tenth percentile, at most 0."""
    high: float = Field(ge=0.0, le=12.0)
    """Its ninetieth, at least 0."""


class CalibrationNote(BaseModel):
    """What a calibrated card says of its calibration, and what its intervals are made of."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    device: str
    """The GPU as its driver names it."""
    drivers: tuple[str, ...]
    date: str
    """Of the newest sample, ISO 8601."""
    samples: int = Field(gt=0)
    kernels: int = Field(gt=0)
    """Distinct sources among them."""
    error: float = Field(ge=0.0)
    """Median of abs(measured / modelled - 1) over held-out samples."""
    spreads: dict[str, Spread]
    """By limiter, and `all`."""
    correction: str = ""
    """Digest of the learned correction; empty without one."""

    def sentence(self) -> str:
        """``calibrated on NVIDIA H200, driver 580.65.06, 2026-11-21 (57 samples of 12 kernels)``."""
        drivers = f", driver {' and '.join(self.drivers)}"
        counts = f"{self.samples} samples of {self.kernels} kernels"
        return f"calibrated on {self.device}{drivers}, {self.date[:10]} ({counts})"


def spread_of(residuals: Sequence[float]) -> Spread | None:
    """The spread of residuals log(measured / modelled); None where they are too few for a tenth percentile.

    The quantiles are those of conformal prediction: the k-th smallest with k = floor((n + 1) / 10), and the same from above,
    so that a new value of the same kind lies within with at least 80 %.
    """
    if len(residuals) < _LEAST:
        return None
    ordered = sorted(residuals)
    at = int((len(ordered) + 1) * (1.0 - CONFIDENCE) / 2 + 1e-9) - 1
    low, high = min(0.0, ordered[at]), max(0.0, ordered[-1 - at])
    return Spread(samples=len(ordered), low=max(-12.0, low), high=min(12.0, high))


def spreads_of(residuals: Iterable[tuple[str, float]]) -> dict[str, Spread]:
    """Spreads by limiter where there are enough samples of it, and of all together.

    Args:
        residuals: limiter and log(measured / modelled) of each held-out sample.
    """
    kinds: dict[str, list[float]] = {ALL: []}
    for limiter, residual in residuals:
        kinds.setdefault(limiter, []).append(residual)
        kinds[ALL].append(residual)
    return {kind: spread for kind, values in kinds.items() if (spread := spread_of(values)) is not None}


def interval(seconds: float, limiter: str, note: CalibrationNote | None = None) -> tuple[float, float]:
    """The ends of the interval around a modelled time, in seconds.

    Args:
        limiter: what limits it, as `ModelledTime.limited_by`.
        note: of the calibration that the time was modelled with; None takes the prior.
    """
    if note is not None and (spread := note.spreads.get(limiter) or note.spreads.get(ALL)):
        return seconds * math.exp(spread.low), seconds * math.exp(spread.high)
    factor = PRIOR_FACTORS.get(limiter, _OTHER)
    return seconds / factor, seconds * factor


def interval_source(note: CalibrationNote | None) -> str:
    """Where the intervals are from, in a few words that follow the interval."""
    if note is None:
        return "80 % interval, an estimate: not calibrated on this GPU"
    return f"80 % interval over held-out samples, {note.sentence()}"
