"""Which metrics are asked of Nsight Compute, under its names, with our units.

Names as in its "Profiling Guide" and in the table from nvprof's metrics in "Nsight Compute CLI".
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ALIASES", "MEASURED_ONLY", "METRICS", "SECTIONS"]

METRICS: tuple[str, ...] = (
    "launch__grid_size", "launch__block_size", "launch__thread_count", "launch__sm_count", "launch__waves_per_multiprocessor",
    "launch__registers_per_thread", "launch__shared_mem_per_block", "launch__shared_mem_per_block_static",
    "launch__shared_mem_per_block_dynamic", "launch__shared_mem_per_block_driver", "launch__occupancy_limit_blocks",
    "launch__occupancy_limit_registers", "launch__occupancy_limit_shared_mem", "launch__occupancy_limit_warps",
    "sm__maximum_warps_avg_per_active_cycle", "sm__maximum_warps_per_active_cycle_pct", "sm__ctas_launched.sum",
    "smsp__warps_launched.sum", "smsp__inst_executed.sum", "smsp__thread_inst_executed.sum",
    "smsp__thread_inst_executed_per_inst_executed.ratio", "smsp__inst_executed_op_global_ld.sum",
    "smsp__inst_executed_op_global_st.sum", "smsp__inst_executed_op_shared_ld.sum", "smsp__inst_executed_op_shared_st.sum",
    "l1tex__t_requests_pipe_lsu_mem_global_op_ld.sum", "l1tex__t_requests_pipe_lsu_mem_global_op_st.sum",
    "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum", "l1tex__t_sectors_pipe_lsu_mem_global_op_st.sum",
    "l1tex__t_bytes_pipe_lsu_mem_global_op_ld.sum", "l1tex__t_bytes_pipe_lsu_mem_global_op_st.sum",
    "l1tex__average_t_sectors_per_request_pipe_lsu_mem_global_op_ld.ratio",
    "l1tex__average_t_sectors_per_request_pipe_lsu_mem_global_op_st.ratio",
    "smsp__sass_average_data_bytes_per_sector_mem_global_op_ld.ratio",
    "smsp__sass_average_data_bytes_per_sector_mem_global_op_st.ratio",
    "l1tex__data_pipe_lsu_wavefronts_mem_shared_op_ld.sum", "l1tex__data_pipe_lsu_wavefronts_mem_shared_op_st.sum",
    "l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_ld.sum", "l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_st.sum",
    "lts__t_sectors_op_read.sum", "lts__t_sectors_op_write.sum", "dram__bytes_read.sum", "dram__bytes_write.sum",
)  # fmt: skip
"""All that `verifier.model.metrics` has under Nsight Compute's names (a test compares them)."""

_STALL = "smsp__average_warps_issue_stalled_{}_per_issue_active.ratio"
MEASURED_ONLY: Mapping[str, str] = {
    "gpu__time_duration.sum": "s",
    "sm__throughput.avg.pct_of_peak_sustained_elapsed": "%",
    "gpu__compute_memory_throughput.avg.pct_of_peak_sustained_elapsed": "%",
    "gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed": "%",
    "lts__throughput.avg.pct_of_peak_sustained_elapsed": "%",
    "l1tex__throughput.avg.pct_of_peak_sustained_active": "%",
    "sm__warps_active.avg.pct_of_peak_sustained_active": "%",
    "smsp__issue_active.avg.pct_of_peak_sustained_active": "%",
    "sm__inst_executed_pipe_tensor.sum": "inst",
    **{
        f"smsp__sass_thread_inst_executed_op_{op}_pred_on.sum": "inst"
        for op in ("fadd", "fmul", "ffma", "dadd", "dmul", "dfma", "hadd", "hmul", "hfma")
    },
    **{
        _STALL.format(why): "warp"
        for why in (
            "long_scoreboard",
            "short_scoreboard",
            "barrier",
            "mio_throttle",
            "lg_throttle",
            "math_pipe_throttle",
            "wait",
        )
    },
    # the roofs of this very GPU, of the section SpeedOfLight_RooflineChart
    "sm__sass_thread_inst_executed_op_ffma_pred_on.sum.peak_sustained": "inst",
    "dram__bytes.sum.peak_sustained": "byte",
    "sm__cycles_elapsed.avg.per_second": "Hz",
    "dram__cycles_elapsed.avg.per_second": "Hz",
}
"""What only a GPU can say, with our unit: time, shares of the peaks, FLOPs, why warps wait, the roofs. Counts per clock are so marked
by their names."""

ALIASES: Mapping[str, str] = {
    "dram__bytes_read.sum": "dram__bytes_op_read.sum",
    "dram__bytes_write.sum": "dram__bytes_op_write.sum",
    "gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed": "dram__throughput.avg.pct_of_peak_sustained_elapsed",
}
"""What some chips call the same (GB20x count DRAM by operation)."""

SECTIONS = ("LaunchStats", "Occupancy")
"""Beside the metrics: what the roofline needs of a launch's shape."""
