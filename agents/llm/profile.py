"""The profile of a kernel for a prompt: at most 24 named metrics of its costliest launches, and what limits each, in words.

How many and of what kind follows CudaForge, whose Judge is given 24 metrics of Nsight Compute: the size of the launch,
occupancy and what limits it, throughput of DRAM, L2 and L1, requests and sectors, bank conflicts, instruction mix, stalls.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kernelwright.agents.builtin.forecast import launches_of
from kernelwright.sandbox.symbols import plain_name
from kernelwright.verifier.evaluation import Evaluation, Profile
from kernelwright.verifier.model.diagnosis import diagnose
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.verifier.model.kernel_time import kernel_time
from kernelwright.verifier.model.metric_table import describe
from kernelwright.verifier.profilers.ncu_metrics import MEASURED_ONLY

__all__ = ["MOST_METRICS", "PREFERRED", "ProfileView", "profile_view"]

MOST_METRICS = 24
MOST_LAUNCHES = 4

_TIME = ("gpu__time_duration.sum", "kernelwright__modelled_seconds")
_STALL = "smsp__average_warps_issue_stalled_{}_per_issue_active.ratio"
PREFERRED: tuple[str, ...] = (
    *_TIME,
    "launch__grid_size",
    "launch__block_size",
    "launch__waves_per_multiprocessor",
    "launch__registers_per_thread",
    "launch__shared_mem_per_block",
    "sm__maximum_warps_per_active_cycle_pct",
    "sm__warps_active.avg.pct_of_peak_sustained_active",
    "dram__bytes_read.sum",
    "dram__bytes_write.sum",
    "gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed",
    "kernelwright__dram_bandwidth.pct",
    "sm__throughput.avg.pct_of_peak_sustained_elapsed",
    "lts__throughput.avg.pct_of_peak_sustained_elapsed",
    "l1tex__throughput.avg.pct_of_peak_sustained_active",
    "l1tex__average_t_sectors_per_request_pipe_lsu_mem_global_op_ld.ratio",
    "l1tex__average_t_sectors_per_request_pipe_lsu_mem_global_op_st.ratio",
    "smsp__sass_average_data_bytes_per_sector_mem_global_op_ld.ratio",
    "kernelwright__global_load_rereads.ratio",
    "l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_ld.sum",
    "l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_st.sum",
    "kernelwright__loads_in_flight_per_warp",
    "smsp__inst_executed.sum",
    "smsp__thread_inst_executed_per_inst_executed.ratio",
    "smsp__issue_active.avg.pct_of_peak_sustained_active",
    *(_STALL.format(why) for why in ("long_scoreboard", "short_scoreboard", "barrier", "lg_throttle", "mio_throttle")),
    "sm__inst_executed_pipe_tensor.sum",
    "kernelwright__local_bytes.sum",
    "kernelwright__barrier_arrivals.sum",
    "kernelwright__uniform_branches.pct",
    "kernelwright__flops_fp32.sum",
    "kernelwright__flops_fp16.sum",
    "kernelwright__flops_tensor.sum",
    "kernelwright__ptx_tensor.sum",
    "kernelwright__ptx_sfu.sum",
    "kernelwright__ptx_shuffle.sum",
    "kernelwright__tail_seconds",
    "launch__occupancy_limit_registers",
    "launch__occupancy_limit_shared_mem",
    "launch__occupancy_limit_warps",
    "launch__occupancy_limit_blocks",
)
"""The first of these that there are, and that are not zero in every launch shown, are shown."""


@dataclass(frozen=True)
class ProfileView:
    """What a prompt shows of a profile."""

    kind: str
    """`measured` or `modelled`."""
    launches: tuple[str, ...]
    """Heads of the columns: the costliest launches, by time."""
    left_out: int
    """Launches that have no column."""
    rows: tuple[tuple[str, str, tuple[float | None, ...]], ...]
    """Name, unit, and a value for each column."""
    findings: tuple[str, ...]
    """What limits each of the launches shown, in words."""

    def value(self, name: str, near: float | None) -> float | None:
        """The value of a metric in the launch where it is nearest to `near`, without one in the costliest that has it;
        None if it is not shown."""
        found = [v for row, _unit, values in self.rows if row == name for v in values if v is not None]
        if not found:
            return None
        return found[0] if near is None else min(found, key=lambda v: abs(v - near))

    def table(self) -> str:
        """As text, one metric a line."""
        wide = max((len(f"{name} [{unit}]") for name, unit, _ in self.rows), default=0)
        lines = [f"{'launch':<{wide}}  " + "  ".join(f"{head:>12}" for head in self.launches)]
        for name, unit, values in self.rows:
            head = f"{name} [{unit}]" if unit else name
            cells = [f"{_figure(v):>{max(12, len(column))}}" for v, column in zip(values, self.launches, strict=True)]
            lines.append(f"{head:<{wide}}  " + "  ".join(cells))
        return "\n".join(lines)


def profile_view(evaluation: Evaluation, gpu: Gpu) -> ProfileView | None:
    """The profile that speaks for this evaluation, measured where it was; None if the kernel was not profiled."""
    profile = evaluation.measured_profile or evaluation.profile
    if profile is None or not any(profile.metrics):
        return None
    order = sorted(range(len(profile.metrics)), key=lambda place: -_seconds(profile.metrics[place]))
    shown = order[:MOST_LAUNCHES]
    columns = [profile.metrics[place] for place in shown]
    names = [name for name in PREFERRED if any(_finite(c.get(name)) for c in columns)][:MOST_METRICS]
    rows = tuple((name, _unit(name), tuple(c.get(name) for c in columns)) for name in names)
    heads = tuple(f"{_name(profile, place)} #{place + 1}" for place in shown)
    return ProfileView(
        profile.kind.value, heads, len(order) - len(shown), rows, tuple(_findings(evaluation, shown, gpu))
    )


def _findings(evaluation: Evaluation, shown: list[int], gpu: Gpu) -> list[str]:
    """By the counters of the emulator, which are there for a measured time too."""
    try:
        reports = launches_of(evaluation)
    except (KeyError, TypeError, ValueError):  # stored by another version
        return []
    said = []
    for place in shown:
        if place < len(reports):
            report = reports[place]
            found = diagnose(report, kernel_time(report, gpu), gpu)
            said.append(
                f"{plain_name(report.kernel)} #{place + 1}, limited by {found.limiter}: {found.finding} {found.remedy}"
            )
    return list(dict.fromkeys(said))


def _seconds(metrics: Mapping[str, float]) -> float:
    return next((metrics[name] for name in _TIME if name in metrics), 0.0)


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and value != 0


def _name(profile: Profile, place: int) -> str:
    launch: Mapping[str, Any] = profile.launches[place] if place < len(profile.launches) else {}
    return plain_name(str(launch.get("kernel", "launch")))[:48]


def _unit(name: str) -> str:
    try:
        return describe(name)[0]
    except KeyError:
        return MEASURED_ONLY.get(name, "")


def _figure(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.4g}"
