"""Modelled time of one kernel launch from its counters and resources: the analytic model, without a learned correction.

A launch is cut in two phases: the waves in which every SM is full, and the last, partial wave. In each phase the
largest of the throughput terms is taken, then joined with the latency of the warps themselves; the phases and the
launch overhead add up. docs/performance-model.md explains each term and constant.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from kernelwright.errors import LaunchError
from kernelwright.sandbox.launch import Counters, LaunchReport
from kernelwright.verifier.model.constants import Constants
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.verifier.model.occupancy import WARP, Occupancy, occupancy
from kernelwright.verifier.model.traffic import SECTOR, Traffic, traffic
from kernelwright.verifier.model.uncertainty import interval, interval_source

__all__ = ["WORKING_REGISTERS", "ModelledTime", "analytic_time", "join", "tensor_seconds"]

SM_L2_BYTES = 64.0
"""Bytes per clock from L2 to one SM (A100 white paper: 64 B/clk/SM)."""
SLICE_BYTES = 64.0
"""Bytes per clock of one L2 slice (A100 white paper)."""
SHARED_LATENCY = 29.0
"""Clocks of a shared-memory load (arXiv:2402.13499: 29.0 on H100 and A100, 30.1 on RTX 4090)."""
SHARED_OVERLAP = 4.0
"""Independent shared loads of a warp in flight (estimate: unrolled tile loops issue four or more)."""
SHUFFLE_LATENCY = 24.0
"""Clocks of a warp shuffle; reductions chain them (published microbenchmarks: 22 to 24)."""
MAX_LOADS_IN_FLIGHT = 8.0
"""Loads that one warp keeps in flight at most (estimate)."""
WORKING_REGISTERS = 20
"""Registers a thread needs beside the data of loads in flight (estimate from small kernels' ptxas figures)."""

_PIPES = {"fp32": "fp32_lanes", "fp64": "fp64_lanes", "int": "int_lanes", "sfu": "sfu_lanes"}


@dataclass(frozen=True)
class ModelledTime:
    """Where the time of one launch goes, in seconds.

    `terms` holds what each part would take alone: `dram`, `l2`, `shared`, `issue`, `fp32`, `fp64`, `fp16`, `int`,
    `sfu`, `convert`, `shuffle`, `tensor`, `load_store`, `atomic`, `latency`, `launch`. They overlap, so they
    do not add up to `seconds`; `limited_by` is the largest.
    """

    seconds: float
    seconds_low: float
    """The ends of its interval of 80 %."""
    seconds_high: float
    interval_source: str
    """Where the interval is from."""
    analytic_seconds: float
    """Without a learned correction; the same where there is none."""
    terms: dict[str, float]
    limited_by: str
    occupancy: Occupancy
    waves: float
    """Blocks of the grid over the blocks that run at once."""
    tail_seconds: float
    """What the last, partial wave costs beyond its share of the work."""
    loads_in_flight: float
    """Independent loads per warp that the model assumes."""
    traffic: Traffic = field(repr=False)


def join(throughput: float, latency: float, overlap: float = Constants().overlap) -> float:
    """Time of work that takes `throughput` seconds if never waiting and `latency` seconds if waiting alone."""
    if throughput <= 0.0 or latency <= 0.0:
        return max(throughput, latency, 0.0)
    larger, ratio = max(throughput, latency), min(throughput, latency) / max(throughput, latency)
    return float(larger * (1.0 + ratio**overlap) ** (1.0 / overlap))


def _sm_clocks(report: LaunchReport, flows: Traffic, gpu: Gpu, scale: float) -> dict[str, float]:
    """Clocks that one SM alone would need for the whole launch, by pipe."""
    c = report.counters
    warp = {name: count * scale for name, count in c.warp_instructions.items()}
    memory_instructions = warp.get("load_store", 0.0) + warp.get("atomic", 0.0)
    global_sectors = (c.global_load_sectors + c.global_store_sectors) * scale
    local_sectors = flows.local / SECTOR
    shared_wavefronts = (c.shared_load_wavefronts + c.shared_store_wavefronts + 2 * c.shared_atomic_requests) * scale
    wavefront_clocks = WARP * 4 / gpu.shared_bytes_per_clock

    clocks = {name: warp.get(name, 0.0) * WARP / getattr(gpu, lanes) for name, lanes in _PIPES.items()}
    clocks["fp16"] = warp.get("fp16", 0.0) * WARP / (gpu.fp16_lanes / 2)  # lanes count both halves of a pair
    clocks["convert"] = warp.get("convert", 0.0) * WARP / gpu.convert_lanes
    clocks["shuffle"] = warp.get("shuffle", 0.0) * WARP / gpu.shuffle_lanes
    clocks["issue"] = sum(warp.values()) / gpu.schedulers
    clocks["shared"] = shared_wavefronts * wavefront_clocks
    # one address per lane, then 128 bytes (four sectors) of data a pass
    passes = (global_sectors + local_sectors) * SECTOR / gpu.shared_bytes_per_clock
    clocks["load_store"] = max(memory_instructions * WARP / gpu.load_store_lanes, passes)
    if c.flops.get("tensor", 0):
        clocks["tensor"] = tensor_seconds(c, gpu) / gpu.mma_share * scale * gpu.sms * gpu.clock_hz
    return clocks


def tensor_seconds(c: Counters, gpu: Gpu) -> float:
    """Seconds of the counted matrix products on all tensor cores, each type at its own dense peak."""
    by_type = dict(c.tensor_flops)
    # what older versions stored has the total alone
    by_type["fp16"] = by_type.get("fp16", 0) + max(0, c.flops.get("tensor", 0) - sum(by_type.values()))
    return sum(flops / gpu.tensor_peak(kind) for kind, flops in by_type.items())


def _loads_in_flight(report: LaunchReport) -> float:
    """Independent loads per warp: those between one branch or barrier and the next, as far as registers reach."""
    c = report.counters
    if not c.global_load_requests:
        return 1.0
    stretches = max(1, c.warps + c.branches + c.barriers)
    independent = c.global_load_requests / stretches
    registers = report.resources.registers if report.resources else 32
    words = max(1.0, c.global_load_bytes / c.global_load_requests / WARP / 4)
    room = max(1.0, (registers - WORKING_REGISTERS) / words)
    return min(max(1.0, independent), room, MAX_LOADS_IN_FLIGHT)


def _warp_seconds(report: LaunchReport, flows: Traffic, gpu: Gpu, in_flight: float, *, longest: bool) -> float:
    """Time of one warp that never waits for another: the average one, or the busiest."""
    c = report.counters
    warps = max(1, c.warps)
    instructions = sum(c.warp_instructions.values()) / warps
    loads, barriers = c.global_load_requests / warps, c.barriers / warps
    stretch = 1.0
    if longest:
        stretch = max(1.0, c.longest_warp_instructions / instructions) if instructions else 1.0
        requests = (c.global_load_requests + c.global_store_requests + c.global_atomic_requests) / warps
        if requests:
            loads *= max(1.0, c.longest_warp_global_requests / requests)
        barriers = max(barriers, float(c.longest_warp_barriers))
        instructions *= stretch
    shared = stretch * c.shared_load_requests / warps * SHARED_LATENCY / SHARED_OVERLAP
    shuffles = stretch * c.warp_instructions.get("shuffle", 0) / warps * SHUFFLE_LATENCY
    clocks = (
        instructions * gpu.constants.instruction_clocks + shared + shuffles + barriers * gpu.constants.barrier_clocks
    )
    return float(loads / in_flight * flows.load_latency + clocks / gpu.clock_hz)


def analytic_time(report: LaunchReport, gpu: Gpu) -> ModelledTime:
    """Modelled time of `report`'s launch on `gpu`, in seconds; counters of a block sample are scaled to the grid.

    Raises:
        LaunchError: one block does not fit on an SM, so a GPU would refuse the launch.
    """
    c = report.counters
    threads = report.block[0] * report.block[1] * report.block[2]
    grid = max(1, report.grid[0] * report.grid[1] * report.grid[2])
    scale = grid / c.blocks if c.blocks else 1.0
    occ = occupancy(report.resources, threads, report.dynamic_shared, gpu)
    if not occ.blocks:
        raise LaunchError(
            f"a block of {report.kernel} ({threads} threads) does not fit on an SM of {gpu.name}: {occ.limited_by}.",
            mend=f"Use fewer threads per block, or less of: {occ.limited_by}.",
        )
    flows = traffic(report, occ, gpu, scale)
    sm_clocks = _sm_clocks(report, flows, gpu, scale)
    in_flight = _loads_in_flight(report)
    average_warp = _warp_seconds(report, flows, gpu, in_flight, longest=False)
    longest_warp = max(average_warp, _warp_seconds(report, flows, gpu, in_flight, longest=True))
    atomic_lanes = c.thread_instructions.get("atomic", 0) if c.global_atomic_requests else 0
    atomics = max(c.global_atomic_sectors, atomic_lanes / 8) * scale  # eight four-byte lanes make a sector
    atomic_rate = gpu.l2_bandwidth / SLICE_BYTES * gpu.constants.atomic_share
    l2_bandwidth = gpu.l2_bandwidth * gpu.constants.l2_share
    joined = partial(join, overlap=gpu.constants.overlap)

    def phase(blocks: float, busiest_sm: float, rounds: float, warp: float) -> dict[str, float]:
        """Terms of a phase that runs `blocks` blocks, `busiest_sm` of them on the busiest SM."""
        share = blocks / grid
        active = min(gpu.sms, blocks)
        l2_rate = min(l2_bandwidth, active * SM_L2_BYTES * gpu.clock_hz)
        terms = {name: clocks * busiest_sm / grid / gpu.clock_hz for name, clocks in sm_clocks.items()}
        terms["dram"] = flows.dram * share / gpu.achievable_bandwidth
        terms["l2"] = flows.l2 * share / l2_rate
        terms["atomic"] = atomics * share / atomic_rate
        terms["latency"] = rounds * warp
        return terms

    def body(terms: dict[str, float]) -> float:
        return joined(max(seconds for name, seconds in terms.items() if name != "latency"), terms["latency"])

    slots = gpu.sms * occ.blocks
    full = grid // slots
    rest = grid - full * slots
    phases = []
    if full:
        phases.append(phase(full * slots, full * occ.blocks, full, average_warp if rest or full > 1 else longest_warp))
    if rest:
        phases.append(phase(rest, -(-rest // gpu.sms), 1, longest_warp))
    terms = {name: sum(part[name] for part in phases) for name in phases[0]}
    seconds = sum(body(part) for part in phases)
    even = phase(grid, grid / gpu.sms, max(1.0, grid / slots), average_warp)
    tail = max(0.0, seconds - body(even)) if full else 0.0

    terms["launch"] = gpu.launch_seconds
    limiter = max(terms, key=lambda name: terms[name])
    total = seconds + gpu.launch_seconds
    low, high = interval(total, limiter, gpu.calibration)
    return ModelledTime(
        seconds=total,
        seconds_low=low,
        seconds_high=high,
        interval_source=interval_source(gpu.calibration),
        analytic_seconds=total,
        terms=terms,
        limited_by=limiter,
        occupancy=occ,
        waves=grid / slots,
        tail_seconds=tail,
        loads_in_flight=in_flight,
        traffic=flows,
    )
