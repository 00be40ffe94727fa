"""What the learned correction looks at: a launch in numbers that do not depend on how large it is, but for one.

Shares of the modelled time say what kind of launch it is, ratios of counters how it does what it does.
"""

from __future__ import annotations

import math

from kernelwright.sandbox.launch import LaunchReport
from kernelwright.verifier.model.analytic import ModelledTime
from kernelwright.verifier.model.occupancy import WARP
from kernelwright.verifier.model.traffic import SECTOR

__all__ = ["FEATURES", "features"]

_ALONE = ("dram", "l2", "shared", "load_store", "issue", "atomic", "tensor", "latency", "launch")
_ARITHMETIC = ("fp32", "fp64", "fp16", "int", "sfu", "convert", "shuffle")

FEATURES = (
    *(f"share_{name}" for name in _ALONE),
    "share_arithmetic",
    "log_seconds",
    "log_waves",
    "occupancy",
    "loads_in_flight",
    "bytes_per_sector",
    "log_rereads",
    "active_lanes",
)
"""Names of what `features` gives, in the order that trees count them."""


def features(report: LaunchReport, time: ModelledTime) -> dict[str, float]:
    """Finite values by name (`FEATURES`).

    `share_*` are terms over the modelled seconds; `log_seconds` and `log_waves` are natural logarithms;
    `bytes_per_sector` is what lanes asked for over what moved, of 32; `log_rereads` is that of global sectors read over
    unique ones; `active_lanes` are of 32.

    Args:
        time: of the analytic model.
    """
    c, terms, seconds = report.counters, time.terms, time.analytic_seconds
    values = {f"share_{name}": terms.get(name, 0.0) / seconds for name in _ALONE}
    values["share_arithmetic"] = max(terms.get(name, 0.0) for name in _ARITHMETIC) / seconds
    sectors = c.global_load_sectors + c.global_store_sectors
    asked = c.global_load_bytes + c.global_store_bytes
    read = c.global_load_sectors * SECTOR
    issued = sum(c.warp_instructions.values())
    values["log_seconds"] = math.log(seconds)
    values["log_waves"] = math.log(max(time.waves, 1e-6))
    values["occupancy"] = time.occupancy.fraction
    values["loads_in_flight"] = time.loads_in_flight
    values["bytes_per_sector"] = min(float(WARP), asked / sectors) if sectors else float(SECTOR)
    values["log_rereads"] = math.log(max(1.0, read / c.global_load_unique_bytes)) if c.global_load_unique_bytes else 0.0
    values["active_lanes"] = sum(c.thread_instructions.values()) / issued if issued else float(WARP)
    return values
