"""Where each kernel stands against the roofs of its GPU, and in plain words what limits it and what to try.

The same for modelled and for measured profiles; the kind travels with every point. Times are of the kernel alone, without the cost of
launching it. The roofline: S. Williams, A. Waterman, D. Patterson, "Roofline", CACM 52(4), 2009.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernelwright.sandbox.launch import LaunchReport
from kernelwright.sandbox.symbols import plain_name
from kernelwright.verifier.evaluation import TimingKind
from kernelwright.verifier.model.diagnosis import Diagnosis, diagnose, launch_bound
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.verifier.model.kernel_profile import KernelProfile
from kernelwright.verifier.model.kernel_time import ModelledTime
from kernelwright.verifier.model.occupancy import occupancy
from kernelwright.verifier.model.traffic import SECTOR, Traffic
from kernelwright.verifier.profilers.ncu import NcuLaunch
from kernelwright.verifier.wording import duration

__all__ = ["Roofline", "RooflinePoint", "measured_roofline", "modelled_roofline", "other_gpu", "summary"]

BUSY = 60.0
"""Per cent of a unit's peak: above it a kernel counts as limited by that unit, below it on every unit by latency (the threshold of
Nsight Compute's own rule "SOLBottleneck")."""
NEAR = 0.8
"""Share of its roof from which a kernel counts as near it: nothing short of less work helps much."""
_STALLS = {
    "barrier": ("Warps wait at barriers for each other.", "Give threads equal work between barriers, or use fewer of them."),
    "mio_throttle": ("Warps wait to issue shared-memory or special-function work.", "Use wider shared accesses; spread them out."),
    "lg_throttle": ("Warps wait to issue global or local accesses.", "Use wider accesses, fewer of them, and no local memory."),
    "math_pipe_throttle": ("Warps wait for an arithmetic pipe.", "Spread work over pipes, or use tensor cores."),
    "short_scoreboard": ("Warps wait for shared memory.", "Avoid bank conflicts; hold more in registers."),
}  # fmt: skip
"""What a warp waits for most, by Nsight Compute's stall reasons; waiting for global memory is the usual case."""


@dataclass(frozen=True)
class RooflinePoint:
    """One kernel in the picture."""

    name: str
    kind: TimingKind
    seconds: float
    """Of one launch of the kernel, without the cost of launching."""
    flops: float
    """Floating-point operations of the launch; a fused multiply-add counts two."""
    pipe: str
    """Whose roof it stands under: `fp32`, `fp64`, `fp16`, `tensor`."""
    dram_bytes: float
    bound_seconds: float
    """The least time: its bytes at the bandwidth's roof, its FLOPs at the pipe's, whichever is longer. Modelled: of bytes that must move."""
    diagnosis: Diagnosis

    @property
    def intensity(self) -> float | None:
        """FLOPs a byte of DRAM; None if there are no FLOPs or no bytes: it has no place in the picture then."""
        return self.flops / self.dram_bytes if self.flops > 0 and self.dram_bytes > 0 else None

    @property
    def achieved(self) -> float:
        """FLOP/s."""
        return self.flops / self.seconds

    @property
    def bandwidth(self) -> float:
        """Bytes per second to and from DRAM."""
        return self.dram_bytes / self.seconds

    @property
    def share(self) -> float:
        """Bound over time; 1 is at the bound."""
        return min(1.0, self.bound_seconds / self.seconds)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "kernel": self.name, "kind": self.kind.value, "seconds": self.seconds, "flops": self.flops, "pipe": self.pipe,
            "dram_bytes": self.dram_bytes, "intensity": self.intensity, "bound_seconds": self.bound_seconds, "share": self.share,
            "limiter": self.diagnosis.limiter, "finding": self.diagnosis.finding, "remedy": self.diagnosis.remedy,
        }  # fmt: skip


@dataclass(frozen=True)
class Roofline:
    """Kernels and the roofs that they stand under."""

    gpu: str
    kind: TimingKind
    bandwidth: float
    """Bytes per second of DRAM that can be reached."""
    peaks: Mapping[str, float]
    """FLOP/s by pipe."""
    roofs_from: str
    """Where the roofs are from, for people."""
    points: tuple[RooflinePoint, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "gpu": self.gpu, "kind": self.kind.value, "bandwidth": self.bandwidth, "peaks": dict(self.peaks),
            "roofs_from": self.roofs_from, "points": [point.to_json() for point in self.points],
        }  # fmt: skip


def _peaks(gpu: Gpu) -> dict[str, float]:
    peaks = {"fp32": gpu.fp32_peak, "fp64": gpu.fp64_peak, "fp16": gpu.fp16_peak, "tensor": gpu.tensor_fp16}
    return {name: peak for name, peak in peaks.items() if peak > 0}


def _pipe(flops: Mapping[str, float], peaks: Mapping[str, float]) -> str:
    """Which pipe's operations take longest."""
    return max((name for name in flops if name in peaks), key=lambda name: flops[name] / peaks[name], default="fp32")


def modelled_roofline(profiles: Sequence[KernelProfile], gpu: Gpu) -> Roofline:
    """Of launches that the emulator counted and the performance model timed."""
    peaks = _peaks(gpu)
    points = []
    for profile in profiles:
        report, time = profile.report, profile.time
        scale = report.blocks_total / report.counters.blocks if report.counters.blocks else 1.0
        flops = {name: count * scale for name, count in report.counters.flops.items()}
        points.append(
            RooflinePoint(
                name=profile.name,
                kind=TimingKind.MODELLED,
                seconds=max(time.seconds - gpu.launch_seconds, 1e-12),
                flops=sum(flops.values()),
                pipe=_pipe(flops, peaks),
                dram_bytes=time.traffic.dram,
                bound_seconds=launch_bound(report, gpu) - gpu.launch_seconds,
                diagnosis=profile.diagnosis,
            )
        )
    return Roofline(
        gpu.name, TimingKind.MODELLED, gpu.achievable_bandwidth, peaks, f"the data sheet of {gpu.name}", tuple(points)
    )


def measured_roofline(launches: Sequence[NcuLaunch], gpu: Gpu) -> Roofline:
    """Of launches that Nsight Compute measured, the longest of each kernel and shape, the costliest first.

    The roofs are those that Nsight Compute gives for that very GPU, where it did, else of the data sheet. A launch without a measured
    time is left out.
    """
    roofs = [_measured_roofs(launch.metrics) for launch in launches]
    bandwidth = next((b for b, _ in roofs if b), 0.0)
    fp32 = next((f for _, f in roofs if f), 0.0)
    peaks = _peaks(gpu) | ({"fp32": fp32} if fp32 else {})
    both = bool(bandwidth and fp32)
    longest: dict[tuple[object, ...], NcuLaunch] = {}
    for launch in launches:
        if launch.metrics.get(_TIME, 0.0) <= 0.0:
            continue
        key = (launch.kernel, launch.grid, launch.block)
        if key not in longest or longest[key].metrics[_TIME] < launch.metrics[_TIME]:
            longest[key] = launch
    roof = bandwidth or gpu.achievable_bandwidth
    points = [_measured_point(launch, gpu, peaks, roof) for launch in longest.values()]
    return Roofline(
        gpu.name,
        TimingKind.MEASURED,
        roof,
        peaks,
        "Nsight Compute, of this GPU (other pipes: data sheet)" if both else f"the data sheet of {gpu.name}",
        tuple(sorted(points, key=lambda point: -point.seconds)),
    )


def other_gpu(launches: Sequence[NcuLaunch], gpu: Gpu) -> str:
    """In what the GPU that was measured differs from `gpu`; empty if what is known of it fits."""
    wanted = "{}.{}".format(*gpu.compute_capability)
    for launch in launches:
        found = launch.compute_capability
        if found and found != wanted:
            return f"it was measured on a GPU of compute capability {found}, and {gpu.name} has {wanted}"
        sms = launch.metrics.get("launch__sm_count")
        if sms is not None and sms != gpu.sms:
            return f"it was measured on a GPU of {sms:.0f} SMs, and {gpu.name} has {gpu.sms}"
    return ""


_TIME = "gpu__time_duration.sum"


def _measured_roofs(m: Mapping[str, float]) -> tuple[float, float]:
    """Bytes and float32 FLOPs per second that Nsight Compute gives as this GPU's peaks; 0 where it does not."""
    bandwidth = m.get("dram__bytes.sum.peak_sustained", 0.0) * m.get("dram__cycles_elapsed.avg.per_second", 0.0)
    fused = m.get("sm__sass_thread_inst_executed_op_ffma_pred_on.sum.peak_sustained", 0.0)
    return bandwidth, 2.0 * fused * m.get("sm__cycles_elapsed.avg.per_second", 0.0)


def _measured_point(launch: NcuLaunch, gpu: Gpu, peaks: Mapping[str, float], bandwidth: float) -> RooflinePoint:
    m, report = launch.metrics, launch.report()
    flops = {name: float(count) for name, count in report.counters.flops.items()}
    dram = m.get("dram__bytes_read.sum", 0.0) + m.get("dram__bytes_write.sum", 0.0)
    pipe = _pipe(flops, peaks)
    work = max((count / peaks[name] for name, count in flops.items() if name in peaks), default=0.0)
    return RooflinePoint(
        name=plain_name(launch.kernel),
        kind=TimingKind.MEASURED,
        seconds=m[_TIME],
        flops=sum(flops.values()),
        pipe=pipe,
        dram_bytes=dram,
        bound_seconds=max(dram / bandwidth, work),
        diagnosis=_diagnose_measured(launch, report, gpu),
    )


_UNITS = {
    "dram": "gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed",
    "l2": "lts__throughput.avg.pct_of_peak_sustained_elapsed",
    "load_store": "l1tex__throughput.avg.pct_of_peak_sustained_active",
    "issue": "sm__throughput.avg.pct_of_peak_sustained_elapsed",
}
"""The limiters that Nsight Compute has a share of the peak for."""


def _diagnose_measured(launch: NcuLaunch, report: LaunchReport, gpu: Gpu) -> Diagnosis:
    """From how busy each unit was; what the model's own rules say of a limiter is said with their words."""
    m = launch.metrics
    busy = {name: m[metric] for name, metric in _UNITS.items() if metric in m}
    shown = ("sm__warps_active.avg.pct_of_peak_sustained_active", "smsp__thread_inst_executed_per_inst_executed.ratio")
    evidence: dict[str, float | int | str] = {"kernel": plain_name(launch.kernel), _TIME: m[_TIME]}
    evidence |= {metric: round(m[metric], 3) for metric in (*_UNITS.values(), *shown) if metric in m}
    if not busy:
        return Diagnosis(
            "unknown", evidence, "Nsight Compute gave no share of any unit's peak, so nothing can be said to limit it.",
            "Profile it with the section SpeedOfLight.",
        )  # fmt: skip
    limiter = max(busy, key=lambda name: busy[name])
    if busy[limiter] < BUSY:
        stalls = {why: m.get(f"smsp__average_warps_issue_stalled_{why}_per_issue_active.ratio", 0.0) for why in _STALLS}
        waiting = m.get("smsp__average_warps_issue_stalled_long_scoreboard_per_issue_active.ratio", 0.0)
        worst = max(stalls, key=lambda why: stalls[why])
        if stalls[worst] > waiting:
            evidence[f"stalled_{worst}"] = round(stalls[worst], 3)
            return Diagnosis("latency", evidence, *_STALLS[worst])
        limiter = "latency"
    if limiter == "dram":
        return Diagnosis(
            limiter, evidence, f"DRAM is busy {busy['dram']:.0f} % of what it can be.",
            "Only fewer bytes help: read nothing twice, fuse with the neighbouring kernels, or use a narrower dtype.",
        )  # fmt: skip
    if limiter == "issue":
        lanes = m.get("smsp__thread_inst_executed_per_inst_executed.ratio", 32.0)
        few = f" On average {lanes:.1f} of 32 lanes are active." if lanes < 24 else ""
        return Diagnosis(
            limiter, evidence, f"Instructions keep the SMs busy {busy['issue']:.0f} % of what they can be.{few}",
            "Avoid divergence; give every lane work." if few else
            "Fewer instructions per element: wider accesses, unrolling, simpler index arithmetic, tensor cores for products.",
        )  # fmt: skip
    if limiter == "load_store" and _shared_wavefronts(report) > _global_wavefronts(report):
        limiter = "shared"  # one data path serves L1 and shared memory, and has one share of the peak
    words = diagnose(report, _as_time(launch, report, gpu, limiter), gpu)
    return Diagnosis(words.limiter, evidence, words.finding, words.remedy)


def _shared_wavefronts(report: LaunchReport) -> int:
    return report.counters.shared_load_wavefronts + report.counters.shared_store_wavefronts


def _global_wavefronts(report: LaunchReport) -> float:
    """Passes of 128 bytes that the sectors of global memory need at least."""
    return (report.counters.global_load_sectors + report.counters.global_store_sectors) * SECTOR / 128


def _as_time(launch: NcuLaunch, report: LaunchReport, gpu: Gpu, limiter: str) -> ModelledTime:
    """A measured launch in the form that `diagnose` reads; nothing in it is modelled but the occupancy's rules."""
    m = launch.metrics
    threads = report.block[0] * report.block[1] * report.block[2]
    occ = occupancy(report.resources, threads, report.dynamic_shared, gpu)
    seconds = m[_TIME]
    flows = Traffic(
        l2_read=m.get("lts__t_sectors_op_read.sum", 0.0) * SECTOR,
        l2_write=m.get("lts__t_sectors_op_write.sum", 0.0) * SECTOR,
        dram_read=m.get("dram__bytes_read.sum", 0.0),
        dram_write=m.get("dram__bytes_write.sum", 0.0),
        local=0.0,
        load_latency=0.0,
    )
    return ModelledTime(
        seconds=seconds,
        seconds_low=seconds,
        seconds_high=seconds,
        interval_source="one launch measured by Nsight Compute",
        analytic_seconds=seconds,
        terms={limiter: seconds},
        limited_by=limiter,
        occupancy=occ,
        waves=m.get("launch__waves_per_multiprocessor", report.blocks_total / max(1, gpu.sms * occ.blocks)),
        tail_seconds=0.0,
        loads_in_flight=0.0,
        traffic=flows,
    )


def summary(roofline: Roofline) -> list[str]:
    """One paragraph a kernel: what limits it, how far it is from the bound, what to try."""
    return [_paragraph(point, roofline) for point in roofline.points]


def _paragraph(point: RooflinePoint, roofline: Roofline) -> str:
    where = f"{point.kind.value} {'for' if point.kind is TimingKind.MODELLED else 'on'} {roofline.gpu}"
    speed = [f"{100 * point.bandwidth / roofline.bandwidth:.0f} % of the DRAM bandwidth"]
    if point.flops > 0 and point.pipe in roofline.peaks:
        speed.append(f"{100 * point.achieved / roofline.peaks[point.pipe]:.2g} % of the {point.pipe} peak")
    bound = (
        f"{100 * point.share:.0f} % of its bound ({duration(point.bound_seconds)})"
        if point.bound_seconds > 0
        else "no bound"
    )
    found = point.diagnosis
    # a kernel that is near its roof needs less work; below it, what the diagnosis says
    near = point.share >= NEAR and found.limiter not in ("dram", "issue", "launch")
    advice = (
        "It is near the roof: only less work (fewer bytes, fused kernels) helps much."
        if near
        else f"{found.finding} {found.remedy}"
    )
    return f"{point.name}: {duration(point.seconds)} {where}, {' and '.join(speed)}, {bound}; limited by {found.limiter}. {advice}"
