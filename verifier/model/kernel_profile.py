"""The profile of each kernel of a program: its launches gathered, one looked at closely, its source lines added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from kernelwright.sandbox.launch import LaunchReport, LineCounters
from kernelwright.sandbox.symbols import plain_name
from kernelwright.verifier.model.diagnosis import Diagnosis, diagnose
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.verifier.model.kernel_time import ModelledTime, kernel_time
from kernelwright.verifier.model.metrics import metrics

__all__ = ["KernelProfile", "profile_kernels"]


@dataclass(frozen=True)
class KernelProfile:
    """All launches of one kernel with one grid, block and dynamic shared memory."""

    name: str
    """As in the source: `softmax`, `ns::reduce`."""
    launches: int
    seconds: float
    """Modelled time of all of them, in seconds."""
    seconds_low: float
    """The ends of its interval of 80 %."""
    seconds_high: float
    report: LaunchReport
    """The launch with the longest modelled time; `time`, `metrics` and `diagnosis` are of this one."""
    time: ModelledTime
    metrics: dict[str, float]
    diagnosis: Diagnosis
    lines: tuple[LineCounters, ...]
    """Sums over all launches, by line; empty unless the launches were run with `profile_lines`."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object for `kernelwright profile --json`."""
        report = self.report
        return {
            "kernel": self.name,
            "symbol": report.kernel,
            "launches": self.launches,
            "seconds": self.seconds,
            "seconds_low": self.seconds_low,
            "seconds_high": self.seconds_high,
            "interval_source": self.time.interval_source,
            "kind": "modelled",
            "grid": list(report.grid),
            "block": list(report.block),
            "dynamic_shared": report.dynamic_shared,
            "sampled": report.sampled,
            "limited_by": self.time.limited_by,
            "terms": dict(self.time.terms),
            "occupancy": self.time.occupancy.to_json(),
            "metrics": self.metrics,
            "finding": self.diagnosis.finding,
            "remedy": self.diagnosis.remedy,
            "lines": [asdict(line) for line in self.lines],
        }


def profile_kernels(reports: Sequence[LaunchReport], gpu: Gpu) -> list[KernelProfile]:
    """One profile a kernel and launch shape, the costliest first.

    Raises:
        LaunchError: a launch that the GPU would refuse for its resources.
    """
    groups: dict[tuple[object, ...], list[tuple[LaunchReport, ModelledTime]]] = {}
    for report in reports:
        key = (report.kernel, report.grid, report.block, report.dynamic_shared)
        groups.setdefault(key, []).append((report, kernel_time(report, gpu)))
    profiles = []
    for members in groups.values():
        report, time = max(members, key=lambda member: member[1].seconds)
        profiles.append(
            KernelProfile(
                name=plain_name(report.kernel),
                launches=len(members),
                seconds=sum(each.seconds for _, each in members),
                seconds_low=sum(each.seconds_low for _, each in members),
                seconds_high=sum(each.seconds_high for _, each in members),
                report=report,
                time=time,
                metrics=metrics(report, report.resources, gpu, time),
                diagnosis=diagnose(report, time, gpu),
                lines=_added(line for member, _ in members for line in member.lines),
            )
        )
    return sorted(profiles, key=lambda profile: -profile.seconds)


_SUMS = tuple(f.name for f in fields(LineCounters) if f.type == "int" and f.name != "line")


def _added(lines: Iterable[LineCounters]) -> tuple[LineCounters, ...]:
    total: dict[int, LineCounters] = {}
    for line in lines:
        before = total.get(line.line)
        if before is None:
            total[line.line] = line
            continue
        sums: dict[str, Any] = {name: getattr(before, name) + getattr(line, name) for name in _SUMS}
        both: dict[str, Any] = {
            name: dict(Counter(getattr(before, name)) + Counter(getattr(line, name))) for name in ("classes", "flops")
        }
        total[line.line] = replace(before, **sums, **both)
    return tuple(total[number] for number in sorted(total))
