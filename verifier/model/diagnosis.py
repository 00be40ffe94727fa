"""What limits a launch, in one word and in sentences, with the metrics that show it."""

from __future__ import annotations

from dataclasses import dataclass

from kernelwright.sandbox.launch import LaunchReport
from kernelwright.verifier.model.analytic import tensor_seconds
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.verifier.model.kernel_time import ModelledTime
from kernelwright.verifier.model.metrics import metrics
from kernelwright.verifier.model.traffic import SECTOR

__all__ = ["Diagnosis", "diagnose", "launch_bound"]

TAIL_SHARE = 0.15
"""Of a launch's time: a tail beyond this is named as the limiter."""
WASTED_SECTORS = 1.5
"""Sectors moved over sectors needed: beyond this, accesses count as uncoalesced."""
CONFLICTS = 1.5
"""Shared-memory wavefronts over requests' own need: beyond this, bank conflicts are named."""
GOOD_OCCUPANCY = 0.5
"""Below this share of an SM's warps, too few warps are named as the reason for latency."""

FEW_WAVES = 0.75
"""Share of one wave below which the grid itself is named as too small to hide latency."""

_LOAD = "l1tex__average_t_sectors_per_request_pipe_lsu_mem_global_op_ld.ratio"
_BYTES_PER_SECTOR = "smsp__sass_average_data_bytes_per_sector_mem_global_op_ld.ratio"
_STORE_BYTES_PER_SECTOR = "smsp__sass_average_data_bytes_per_sector_mem_global_op_st.ratio"


@dataclass(frozen=True)
class Diagnosis:
    """The limiter, named metrics that show it, what it means, and what helps in general."""

    limiter: str
    """`dram`, `l2`, `shared`, `issue`, `latency`, `launch`, `tail`, or another term of `ModelledTime`."""
    evidence: dict[str, float | int | str]
    finding: str
    remedy: str


def launch_bound(report: LaunchReport, gpu: Gpu) -> float:
    """The least time of this launch alone, in seconds: its unique bytes, its FLOPs at peak, one launch."""
    c = report.counters
    grid = report.grid[0] * report.grid[1] * report.grid[2]
    scale = grid / c.blocks if c.blocks else 1.0
    moved = (c.global_load_unique_bytes + c.global_store_unique_bytes) * scale / gpu.achievable_bandwidth
    peaks = {"fp32": gpu.fp32_peak, "fp64": gpu.fp64_peak, "fp16": gpu.fp16_peak}
    work = max(c.flops.get(pipe, 0) * scale / peak for pipe, peak in peaks.items())
    tensor = tensor_seconds(c, gpu) * scale
    return max(moved, work, tensor) + gpu.launch_seconds


def diagnose(report: LaunchReport, time: ModelledTime, gpu: Gpu) -> Diagnosis:
    """What limits this launch, from its counters and modelled time."""
    c = report.counters
    m = metrics(report, report.resources, gpu, time)
    body = time.seconds - gpu.launch_seconds
    evidence: dict[str, float | int | str] = {
        "kernel": report.kernel,
        "modelled_microseconds": round(time.seconds * 1e6, 3),
        f"{time.limited_by}_microseconds": round(time.terms[time.limited_by] * 1e6, 3),
    }

    def show(*names: str) -> None:
        evidence.update({name: round(m[name], 3) for name in names if name in m})

    limiter = time.limited_by
    if limiter != "launch" and time.tail_seconds > TAIL_SHARE * time.seconds:
        limiter = "tail"

    if limiter == "launch":
        show("launch__grid_size", "launch__waves_per_multiprocessor")
        evidence["launch_share"] = round(gpu.launch_seconds / time.seconds, 3)
        return Diagnosis(
            limiter, evidence, "Launching costs more than the work.", "Do more in one launch: fuse kernels."
        )
    if limiter == "tail":
        show("launch__waves_per_multiprocessor", "launch__grid_size")
        evidence["tail_microseconds"] = round(time.tail_seconds * 1e6, 3)
        return Diagnosis(
            limiter,
            evidence,
            f"The last wave is only partly full ({time.waves:.2f} waves).",
            "Change the work per block so that blocks fill whole waves, or make blocks smaller.",
        )
    if limiter == "dram":
        show("dram__bytes_read.sum", "dram__bytes_write.sum", "kernelwright__dram_bandwidth.pct")
        compulsory = c.global_load_unique_bytes + c.global_store_unique_bytes
        if compulsory and time.traffic.dram > 1.2 * compulsory:
            return Diagnosis(
                limiter,
                evidence,
                "Data is read from DRAM more than once.",
                "Keep what is read again in registers or shared memory, or let blocks that share data run together.",
            )
        return Diagnosis(
            limiter,
            evidence,
            "DRAM moves each byte once, near its achievable rate.",
            "Only fewer bytes help: fuse with the neighbouring kernels, or use a narrower dtype.",
        )
    if limiter in ("l2", "load_store"):
        show(_LOAD, _BYTES_PER_SECTOR, _STORE_BYTES_PER_SECTOR, "kernelwright__global_load_rereads.ratio")
        asked = c.global_load_bytes + c.global_store_bytes
        moved = (c.global_load_sectors + c.global_store_sectors) * SECTOR
        if asked and moved > WASTED_SECTORS * asked:
            return Diagnosis(
                limiter,
                evidence,
                "Lanes of a warp touch scattered sectors, so most of each 32-byte sector is wasted.",
                "Let neighbouring lanes access neighbouring addresses; transpose through shared memory if need be.",
            )
        return Diagnosis(
            limiter,
            evidence,
            "The same global data is read again and again through L1 and L2.",
            "Load it once into shared memory or registers and reuse it there: larger tiles, wider loads.",
        )
    if limiter == "shared":
        loads = "l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_ld.sum"
        stores = "l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_st.sum"
        show("l1tex__data_pipe_lsu_wavefronts_mem_shared_op_ld.sum", loads, stores)
        wavefronts = c.shared_load_wavefronts + c.shared_store_wavefronts
        conflicts = (m[loads] + m[stores]) * (c.blocks / m["launch__grid_size"] if c.blocks else 1.0)
        if wavefronts > CONFLICTS * max(1.0, wavefronts - conflicts):
            return Diagnosis(
                limiter,
                evidence,
                "Lanes of a warp hit the same shared-memory bank, so accesses are done one after another.",
                "Pad the shared array by one element a row, or swizzle its index.",
            )
        return Diagnosis(
            limiter,
            evidence,
            "Shared memory's bandwidth is used up.",
            "Hold more results per thread in registers, so that each value from shared memory is used more often.",
        )
    if limiter == "latency":
        show(
            "sm__maximum_warps_per_active_cycle_pct",
            "kernelwright__loads_in_flight_per_warp",
            "launch__registers_per_thread",
        )
        evidence["occupancy_limited_by"] = time.occupancy.limited_by
        if time.waves < FEW_WAVES:
            return Diagnosis(
                limiter,
                evidence,
                f"The grid fills {100 * time.waves:.0f} % of one wave: too few warps to hide the memory's latency.",
                "Spread the work over more blocks or more threads per row.",
            )
        if time.occupancy.fraction < GOOD_OCCUPANCY:
            return Diagnosis(
                limiter,
                evidence,
                f"Too few warps are resident to hide latency; {time.occupancy.limited_by} limit them.",
                f"Use less of: {time.occupancy.limited_by}; or have more loads in flight per thread.",
            )
        return Diagnosis(
            limiter,
            evidence,
            "Warps wait for memory with few loads in flight.",
            "Load more at once: wider vector loads, unrolled loops, several items per thread.",
        )
    if limiter == "atomic":
        return Diagnosis(
            limiter,
            evidence,
            "Atomic operations on global memory dominate.",
            "Reduce within the block first, then one atomic.",
        )
    show(
        "kernelwright__ptx_warp_instructions.sum",
        "smsp__thread_inst_executed_per_inst_executed.ratio",
        f"kernelwright__ptx_{limiter}.sum",
    )
    evidence["instruction_share"] = round(time.terms[limiter] / body, 3) if body > 0 else 0.0
    lanes = m["smsp__thread_inst_executed_per_inst_executed.ratio"]
    if 0 < lanes < 24:  # a quarter of the lanes idle
        return Diagnosis(
            limiter,
            evidence,
            f"On average only {lanes:.1f} of 32 lanes are active.",
            "Avoid divergence; give every lane work.",
        )
    return Diagnosis(
        limiter,
        evidence,
        f"Instructions of the kind {limiter!r} take the time, not memory.",
        "Fewer instructions per element: wider accesses, unrolling, simpler index arithmetic.",
    )
