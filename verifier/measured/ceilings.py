"""What this GPU reaches itself: copy bandwidth, matrix products, an empty launch. The roofline of a measured time."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from kernelwright.sandbox.cuda.gpu_process import GpuProcess
from kernelwright.verifier.model.gpus import Gpu

__all__ = ["PRODUCTS", "Ceilings", "measure_ceilings", "with_ceilings"]

_COPY_SHARES = (4, 16)  # times the L2: copies that no cache can hide
PRODUCTS = (("float32", 4096), ("float16", 8192), ("bfloat16", 8192))
"""Square matrix products large enough to reach the GPU's rate: dtype and side."""
_LEAST_L2 = 1 << 20


@dataclass(frozen=True)
class Ceilings:
    """Rates that torch's own copies and products reach on a GPU."""

    copy_bytes_per_second: float
    """Read and written together."""
    launch_seconds: float
    """A kernel that does next to nothing, by the device's clock."""
    matmul_flops: Mapping[str, float] = field(default_factory=dict)
    """FLOP/s of a large square product, by dtype."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


def measure_ceilings(process: GpuProcess, products: Sequence[tuple[str, int]] = PRODUCTS) -> Ceilings:
    """Measures them in a trusted process whose device is open; medians, L2 emptied before each."""
    l2 = max(int(process.properties.get("l2_bytes", 0)), _LEAST_L2)
    rows = process.rates(copies=[share * l2 for share in _COPY_SHARES], products=products)
    return ceilings_of(rows)


def ceilings_of(rows: Sequence[Mapping[str, Any]]) -> Ceilings:
    """The ceilings in the worker's answer."""
    copies = [2.0 * row["copy_bytes"] / statistics.median(row["seconds"]) for row in rows if "copy_bytes" in row]
    products = {
        str(row["dtype"]): 2.0 * row["side"] ** 3 / statistics.median(row["seconds"]) for row in rows if "side" in row
    }
    launch = next(statistics.median(row["seconds"]) for row in rows if row.get("launch"))
    return Ceilings(max(copies), launch, products)


def with_ceilings(gpu: Gpu, ceilings: Ceilings) -> Gpu:
    """The GPU with the rates that were measured in the place of the data sheet's shares.

    float32 outside tensor cores stays the data sheet's: torch's product does not reach what a kernel may.
    """
    bandwidth = max(gpu.dram_bandwidth, ceilings.copy_bytes_per_second)
    tensor = {
        f"tensor_{short}": ceilings.matmul_flops[dtype]
        for short, dtype in (("fp16", "float16"), ("bf16", "bfloat16"))
        if dtype in ceilings.matmul_flops
    }
    return gpu.model_copy(
        update={
            "dram_bandwidth": bandwidth,
            "dram_share": ceilings.copy_bytes_per_second / bandwidth,
            "launch_seconds": ceilings.launch_seconds,
            **tensor,
        }
    )
