"""The profile of a kernel: what each launch did, where it stands under the roofs of its GPU, what limits it and what helps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pydantic import BaseModel

from kernelwright.errors import KernelwrightError
from kernelwright.sandbox.launch import LaunchReport
from kernelwright.sandbox.symbols import plain_name
from kernelwright.verifier.evaluation import Evaluation, Profile, TimingKind
from kernelwright.verifier.model.gpus import Gpu, find_gpu
from kernelwright.verifier.model.kernel_profile import profile_kernels
from kernelwright.verifier.profilers.bounds import Roofline, measured_roofline, modelled_roofline
from kernelwright.verifier.profilers.ncu import NcuLaunch
from kernelwright.web.views.figures import Text, listed, mapping, real, whole

__all__ = ["LaunchLine", "ProfileView", "RoofPoint", "RooflineView", "profile_views"]

_MOST = 40  # launches that are listed
_SECTOR = 32  # bytes


class LaunchLine(BaseModel):
    """Launches of one kernel in one shape."""

    kernel: Text
    count: int
    grid: list[int]
    block: list[int]
    dynamic_shared: int
    """Bytes a block."""
    warp_instructions: int
    """Of one launch, as are all figures below."""
    lanes: float | None
    """Active lanes of 32, on average."""
    occupancy: float | None
    """Share of the warps that fit at once."""
    flops: int
    loaded_bytes: int
    """Asked for in global memory."""
    stored_bytes: int
    load_efficiency: float | None
    """Bytes asked for over bytes in the sectors that were moved."""
    shared_conflicts: float | None
    """Wavefronts of shared memory over the fewest that could do."""
    divergent_branches: int


class RoofPoint(BaseModel):
    """A kernel against its roof; seconds without the cost of launching."""

    kernel: Text
    seconds: float
    flops: float
    pipe: str
    dram_bytes: float
    intensity: float | None
    """FLOPs a byte; null without FLOPs or traffic: it has no place in the picture."""
    achieved: float
    """FLOP/s."""
    bound_seconds: float
    share: float
    """Bound over time."""
    limiter: str
    finding: str
    remedy: str


class RooflineView(BaseModel):
    """Roofs, and the kernels under them."""

    gpu: str
    bandwidth: float
    """Bytes per second of DRAM."""
    peaks: dict[str, float]
    """FLOP/s by pipe."""
    roofs_from: str
    points: list[RoofPoint]


class OpLine(BaseModel):
    """Work that was left to torch."""

    name: Text
    count: int


class ProfileView(BaseModel):
    """One profile."""

    kind: TimingKind
    launches: list[LaunchLine]
    left_out: int
    """Shapes of launches beyond those listed."""
    torch_ops: list[OpLine]
    roofline: RooflineView | None
    """Null where there are no counters to place, or the GPU is not in the table."""


def profile_views(evaluation: Evaluation) -> list[ProfileView]:
    """The profile of the GPU's own profiler first, where there is one, then the one that the emulator counted."""
    found = (evaluation.measured_profile, evaluation.profile)
    return [_view(each, evaluation.device.gpu) for each in found if each is not None]


def _view(profile: Profile, gpu_name: str) -> ProfileView:
    lines = _lines(profile)
    ops: dict[str, int] = {}
    for op in profile.torch_ops:
        ops[str(op.get("name"))] = ops.get(str(op.get("name")), 0) + 1
    return ProfileView(
        kind=profile.kind,
        launches=lines[:_MOST],
        left_out=max(0, len(lines) - _MOST),
        torch_ops=[OpLine(name=name, count=count) for name, count in ops.items()],
        roofline=_roofline(profile, gpu_name),
    )


def _lines(profile: Profile) -> list[LaunchLine]:
    metrics = [*profile.metrics, *({} for _ in profile.launches)]
    found: dict[tuple[object, ...], LaunchLine] = {}
    for launch, metric in zip(profile.launches, metrics, strict=False):
        c = mapping(launch.get("counters"))
        grid, block = ([whole(n) or 0 for n in listed(launch.get(name))] for name in ("grid", "block"))
        key = (launch.get("kernel"), tuple(grid), tuple(block), launch.get("dynamic_shared"))
        if key in found:
            found[key].count += 1
            continue
        warp = sum(real(n) for n in mapping(c.get("warp_instructions")).values())
        thread = sum(real(n) for n in mapping(c.get("thread_instructions")).values())
        loaded, sectors = real(c.get("global_load_bytes")), real(c.get("global_load_sectors"))
        waves = real(c.get("shared_load_wavefronts")) + real(c.get("shared_store_wavefronts"))
        requests = real(c.get("shared_load_requests")) + real(c.get("shared_store_requests"))
        moved = real(c.get("shared_load_bytes")) + real(c.get("shared_store_bytes"))
        ideal = max(requests, moved / 128)
        occupancy = metric.get("sm__maximum_warps_per_active_cycle_pct")
        found[key] = LaunchLine(
            kernel=plain_name(str(launch.get("kernel"))),
            count=1,
            grid=grid,
            block=block,
            dynamic_shared=int(real(launch.get("dynamic_shared"))),
            warp_instructions=int(warp),
            lanes=thread / warp if warp and thread else None,
            occupancy=None if occupancy is None else real(occupancy) / 100,
            flops=int(sum(real(n) for n in mapping(c.get("flops")).values())),
            loaded_bytes=int(loaded),
            stored_bytes=int(real(c.get("global_store_bytes"))),
            load_efficiency=min(1.0, loaded / (sectors * _SECTOR)) if sectors else None,
            shared_conflicts=waves / ideal if ideal else None,
            divergent_branches=int(real(c.get("divergent_branches"))),
        )
    return list(found.values())


def _roofline(profile: Profile, gpu_name: str) -> RooflineView | None:
    try:
        gpu = find_gpu(gpu_name)
        found = _measured(profile, gpu) if profile.kind is TimingKind.MEASURED else _modelled(profile, gpu)
    except (KernelwrightError, KeyError, TypeError, ValueError, ZeroDivisionError):
        return None  # counters of another version, or a GPU that is not in the table: there is no picture then
    return RooflineView(
        gpu=found.gpu,
        bandwidth=found.bandwidth,
        peaks=dict(found.peaks),
        roofs_from=found.roofs_from,
        points=[
            RoofPoint(
                kernel=point.name,
                seconds=point.seconds,
                flops=point.flops,
                pipe=point.pipe,
                dram_bytes=point.dram_bytes,
                intensity=point.intensity,
                achieved=point.achieved,
                bound_seconds=point.bound_seconds,
                share=point.share,
                limiter=point.diagnosis.limiter,
                finding=point.diagnosis.finding,
                remedy=point.diagnosis.remedy,
            )
            for point in found.points
        ],
    )


def _modelled(profile: Profile, gpu: Gpu) -> Roofline:
    """With the times that were stored, so that picture and table agree."""
    launches = profile.launches
    profiles = profile_kernels([LaunchReport.from_json(launch) for launch in launches], gpu)
    drawn = modelled_roofline(profiles, gpu)
    stored: dict[tuple[object, ...], float] = {}
    for launch, metric in zip(launches, profile.metrics, strict=False):
        seconds = real(metric.get("kernelwright__modelled_seconds"))
        key = (
            launch.get("kernel"),
            *_shape(launch.get("grid")),
            *_shape(launch.get("block")),
            launch.get("dynamic_shared"),
        )
        stored[key] = max(seconds, stored.get(key, 0.0))
    points = []
    for point, each in zip(drawn.points, profiles, strict=True):
        report = each.report
        seconds = stored.get((report.kernel, *report.grid, *report.block, report.dynamic_shared), 0.0)
        points.append(replace(point, seconds=max(seconds - gpu.launch_seconds, 1e-12)) if seconds else point)
    return replace(drawn, points=tuple(points))


def _measured(profile: Profile, gpu: Gpu) -> Roofline:
    launches = [
        NcuLaunch(str(launch["kernel"]), _triple(launch["grid"]), _triple(launch["block"]), 0, "", metric)
        for launch, metric in zip(profile.launches, profile.metrics, strict=False)
    ]
    return measured_roofline(launches, gpu)


def _shape(value: object) -> Sequence[int]:
    return [whole(n) or 0 for n in listed(value)]


def _triple(value: object) -> tuple[int, int, int]:
    x, y, z = _shape(value)
    return x, y, z
