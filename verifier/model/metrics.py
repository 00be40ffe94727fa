"""Metrics of one launch, under Nsight Compute's names where the meaning is the same.

Names that begin with `kernelwright__` are ours: what Nsight Compute has no metric for, and what the performance model
derived. All instruction counts are of PTX, where Nsight Compute counts SASS. `dram__bytes_*` and `lts__t_sectors_op_*` are
the model's estimates under the profiler's names. `metric_table` says of each how far it may be trusted.
"""

from __future__ import annotations

from kernelwright.sandbox.launch import KernelResources, LaunchReport
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.verifier.model.kernel_time import ModelledTime
from kernelwright.verifier.model.occupancy import WARP
from kernelwright.verifier.model.traffic import SECTOR

__all__ = ["metrics"]


def _ratio(above: float, below: float) -> float:
    return above / below if below else 0.0


def metrics(report: LaunchReport, resources: KernelResources | None, gpu: Gpu, time: ModelledTime) -> dict[str, float]:
    """Metrics by name; counts are scaled to the whole grid, percentages lie in [0, 100].

    `resources` defaults to those of the report.
    """
    c, res, occ = report.counters, resources or report.resources, time.occupancy
    threads = report.block[0] * report.block[1] * report.block[2]
    grid = report.grid[0] * report.grid[1] * report.grid[2]
    scale = _ratio(grid, c.blocks) or 1.0
    warp = sum(c.warp_instructions.values()) * scale
    thread = sum(c.thread_instructions.values()) * scale
    ideal_load = -(-c.shared_load_bytes // 128)
    ideal_store = -(-c.shared_store_bytes // 128)
    body = time.seconds - gpu.launch_seconds

    out: dict[str, float] = {
        "launch__grid_size": grid,
        "launch__block_size": threads,
        "launch__thread_count": grid * threads,
        "launch__sm_count": gpu.sms,
        "sm__ctas_launched.sum": grid,
        "smsp__warps_launched.sum": grid * -(-threads // WARP),
        "launch__waves_per_multiprocessor": time.waves,
        "launch__shared_mem_per_block_dynamic": report.dynamic_shared,
        "launch__occupancy_limit_blocks": occ.limits["blocks"],
        "launch__occupancy_limit_registers": occ.limits["registers"],
        "launch__occupancy_limit_shared_mem": occ.limits["shared"],
        "launch__occupancy_limit_warps": occ.limits["warps"],
        "sm__maximum_warps_avg_per_active_cycle": occ.warps,
        "sm__maximum_warps_per_active_cycle_pct": 100.0 * occ.fraction,
        "smsp__inst_executed.sum": warp,
        "smsp__thread_inst_executed.sum": thread,
        "smsp__thread_inst_executed_per_inst_executed.ratio": _ratio(thread, warp),
        "smsp__inst_executed_op_global_ld.sum": c.global_load_requests * scale,
        "smsp__inst_executed_op_global_st.sum": c.global_store_requests * scale,
        "smsp__inst_executed_op_shared_ld.sum": c.shared_load_requests * scale,
        "smsp__inst_executed_op_shared_st.sum": c.shared_store_requests * scale,
        "l1tex__t_requests_pipe_lsu_mem_global_op_ld.sum": c.global_load_requests * scale,
        "l1tex__t_requests_pipe_lsu_mem_global_op_st.sum": c.global_store_requests * scale,
        "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum": c.global_load_sectors * scale,
        "l1tex__t_sectors_pipe_lsu_mem_global_op_st.sum": c.global_store_sectors * scale,
        "l1tex__t_bytes_pipe_lsu_mem_global_op_ld.sum": c.global_load_sectors * SECTOR * scale,
        "l1tex__t_bytes_pipe_lsu_mem_global_op_st.sum": c.global_store_sectors * SECTOR * scale,
        "l1tex__average_t_sectors_per_request_pipe_lsu_mem_global_op_ld.ratio": _ratio(
            c.global_load_sectors, c.global_load_requests
        ),
        "l1tex__average_t_sectors_per_request_pipe_lsu_mem_global_op_st.ratio": _ratio(
            c.global_store_sectors, c.global_store_requests
        ),
        "smsp__sass_average_data_bytes_per_sector_mem_global_op_ld.ratio": _ratio(
            c.global_load_bytes, c.global_load_sectors
        ),
        "smsp__sass_average_data_bytes_per_sector_mem_global_op_st.ratio": _ratio(
            c.global_store_bytes, c.global_store_sectors
        ),
        "l1tex__data_pipe_lsu_wavefronts_mem_shared_op_ld.sum": c.shared_load_wavefronts * scale,
        "l1tex__data_pipe_lsu_wavefronts_mem_shared_op_st.sum": c.shared_store_wavefronts * scale,
        "l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_ld.sum": scale
        * max(0, c.shared_load_wavefronts - max(c.shared_load_requests, ideal_load)),
        "l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_st.sum": scale
        * max(0, c.shared_store_wavefronts - max(c.shared_store_requests, ideal_store)),
        "lts__t_sectors_op_read.sum": time.traffic.l2_read / SECTOR,
        "lts__t_sectors_op_write.sum": time.traffic.l2_write / SECTOR,
        "dram__bytes_read.sum": time.traffic.dram_read,
        "dram__bytes_write.sum": time.traffic.dram_write,
        "kernelwright__ptx_warp_instructions.sum": warp,
        "kernelwright__ptx_thread_instructions.sum": thread,
        "kernelwright__branches.sum": c.branches * scale,
        "kernelwright__uniform_branches.pct": 100.0 * (1.0 - _ratio(c.divergent_branches, c.branches)),
        "kernelwright__barrier_arrivals.sum": c.barriers * scale,
        "kernelwright__global_load_rereads.ratio": _ratio(c.global_load_sectors * SECTOR, c.global_load_unique_bytes),
        "kernelwright__global_store_rewrites.ratio": _ratio(
            c.global_store_sectors * SECTOR, c.global_store_unique_bytes
        ),
        "kernelwright__local_bytes.sum": time.traffic.local,
        "kernelwright__loads_in_flight_per_warp": time.loads_in_flight,
        "kernelwright__modelled_seconds": time.seconds,
        "kernelwright__tail_seconds": time.tail_seconds,
        "kernelwright__dram_bandwidth.pct": 100.0 * _ratio(_ratio(time.traffic.dram, body), gpu.dram_bandwidth),
    }
    if res is not None:
        out["launch__registers_per_thread"] = res.registers
        out["launch__shared_mem_per_block_static"] = res.static_shared
        out["launch__shared_mem_per_block_driver"] = gpu.shared_reserved
        out["launch__shared_mem_per_block"] = gpu.shared_reserved + res.static_shared + report.dynamic_shared
    for name, flops in c.flops.items():
        out[f"kernelwright__flops_{name}.sum"] = flops * scale
    for name, count in c.warp_instructions.items():
        out[f"kernelwright__ptx_{name}.sum"] = count * scale
    return {name: float(value) for name, value in out.items()}
