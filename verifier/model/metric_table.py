"""The metrics of a launch as a table: value, unit, and how far each may be trusted; and those of a source line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from kernelwright.sandbox.launch import KernelResources, LaunchReport, LineCounters
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.verifier.model.kernel_time import ModelledTime
from kernelwright.verifier.model.metrics import metrics

__all__ = ["Exactness", "Metric", "describe", "line_metrics", "metric_table"]


class Exactness(StrEnum):
    """Where a metric's value comes from, the surest first."""

    EXACT = "exact"
    """Follows from the launch, from what ptxas says, or from the rules of occupancy: a GPU gives the same."""
    PTX = "ptx"
    """Counted on every PTX instruction that ran. A GPU counts those of its own code, which ptxas has fused, moved or dropped."""
    SAMPLED = "sampled"
    """As `PTX`, but only some blocks ran, and the count is scaled to the grid."""
    MODELLED = "modelled"
    """Derived by the performance model."""


@dataclass(frozen=True)
class Metric:
    """One row: `unit` is empty for ratios without one."""

    name: str
    value: float
    unit: str
    exactness: Exactness


_E, _P, _M = Exactness.EXACT, Exactness.PTX, Exactness.MODELLED
_KINDS: Mapping[str, tuple[str, Exactness]] = {
    "launch__grid_size": ("block", _E),
    "launch__block_size": ("thread/block", _E),
    "launch__thread_count": ("thread", _E),
    "launch__sm_count": ("SM", _E),
    "launch__waves_per_multiprocessor": ("", _E),
    "launch__registers_per_thread": ("register/thread", _E),
    "launch__occupancy_limit_blocks": ("block/SM", _E),
    "launch__occupancy_limit_registers": ("block/SM", _E),
    "launch__occupancy_limit_shared_mem": ("block/SM", _E),
    "launch__occupancy_limit_warps": ("block/SM", _E),
    "sm__maximum_warps_avg_per_active_cycle": ("warp/SM", _E),
    "sm__maximum_warps_per_active_cycle_pct": ("%", _E),
    "sm__ctas_launched.sum": ("block", _E),
    "smsp__warps_launched.sum": ("warp", _E),
    "smsp__inst_executed.sum": ("inst", _P),
    "smsp__thread_inst_executed.sum": ("inst", _P),
    "smsp__thread_inst_executed_per_inst_executed.ratio": ("thread", _P),
    "lts__t_sectors_op_read.sum": ("sector", _M),
    "lts__t_sectors_op_write.sum": ("sector", _M),
    "dram__bytes_read.sum": ("byte", _M),
    "dram__bytes_write.sum": ("byte", _M),
    "kernelwright__branches.sum": ("inst", _P),
    "kernelwright__uniform_branches.pct": ("%", _P),
    "kernelwright__barrier_arrivals.sum": ("warp", _P),
    "kernelwright__global_load_rereads.ratio": ("", _P),
    "kernelwright__global_store_rewrites.ratio": ("", _P),
    "kernelwright__local_bytes.sum": ("byte", _M),
    "kernelwright__loads_in_flight_per_warp": ("request", _M),
    "kernelwright__modelled_seconds": ("s", _M),
    "kernelwright__tail_seconds": ("s", _M),
    "kernelwright__dram_bandwidth.pct": ("%", _M),
}
_BEGINNINGS: tuple[tuple[str, str, Exactness], ...] = (
    ("launch__shared_mem_per_block", "byte/block", _E),
    ("smsp__inst_executed_op_", "inst", _P),
    ("l1tex__average_t_sectors_per_request_", "sector/request", _P),
    ("l1tex__t_requests_", "request", _P),
    ("l1tex__t_sectors_", "sector", _P),
    ("l1tex__t_bytes_", "byte", _P),
    ("l1tex__data_pipe_lsu_wavefronts_", "wavefront", _P),
    ("l1tex__data_bank_conflicts_", "wavefront", _P),
    ("smsp__sass_average_data_bytes_per_sector_", "byte/sector", _P),
    ("kernelwright__flops_", "flop", _P),
    ("kernelwright__ptx_", "inst", _P),
)


def describe(name: str) -> tuple[str, Exactness]:
    """The unit and the exactness of a metric of `metrics`, of a launch that ran whole.

    Raises:
        KeyError: there is no such metric.
    """
    if name in _KINDS:
        return _KINDS[name]
    for beginning, unit, exactness in _BEGINNINGS:
        if name.startswith(beginning):
            return unit, exactness
    raise KeyError(name)


def metric_table(
    report: LaunchReport, resources: KernelResources | None, gpu: Gpu, time: ModelledTime
) -> tuple[Metric, ...]:
    """All of `metrics`, in its order."""
    rows = []
    for name, value in metrics(report, resources, gpu, time).items():
        unit, exactness = describe(name)
        if report.sampled and exactness is Exactness.PTX:
            exactness = Exactness.SAMPLED
        rows.append(Metric(name, value, unit, exactness))
    return tuple(rows)


def line_metrics(line: LineCounters) -> dict[str, int]:
    """What Nsight Compute's source page shows of a line, under its names; all counted on PTX (`Exactness.PTX`).

    Sectors are those of loads and stores of global memory, without atomics. The ideal number of wavefronts is one for
    each request, or for each 128 bytes if that is more.
    """
    ideal_load = max(line.shared_load_requests, -(-line.shared_load_bytes // 128))
    ideal_store = max(line.shared_store_requests, -(-line.shared_store_bytes // 128))
    return {
        "inst_executed": line.warp_instructions,
        "thread_inst_executed": line.thread_instructions,
        "memory_l2_theoretical_sectors_global": line.global_load_sectors + line.global_store_sectors,
        "memory_l2_theoretical_sectors_global_ideal": line.global_load_ideal_sectors + line.global_store_ideal_sectors,
        "memory_l1_wavefronts_shared": line.shared_load_wavefronts + line.shared_store_wavefronts,
        "memory_l1_wavefronts_shared_ideal": ideal_load + ideal_store,
    }
