"""Evaluation: all that was found out about a Kernel on a Task on a Device.

Illegal states can't be built: a passed evaluation has only stages that did not fail and has a timing; any other
verdict has a reason.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "FOUND_OUT",
    "NOTHING_AGAINST",
    "DeviceInfo",
    "Evaluation",
    "Profile",
    "Stage",
    "StageStatus",
    "TimedCall",
    "Timing",
    "TimingKind",
    "Verdict",
]


class Verdict(StrEnum):
    """The one answer about a kernel."""

    PASSED = "passed"
    """It computes the function on every workload tried, by its own kernels, and was timed."""
    REJECTED = "rejected"
    """A rule forbids it: no `ModelNew`, no kernel, what no honest kernel does, or a time below what memory allows."""
    COMPILE_ERROR = "compile_error"
    """Its Python does not load or its CUDA C++ does not compile."""
    CRASHED = "crashed"
    """Its process died, or its code raised."""
    TIMEOUT = "timeout"
    """It did not end within its limit."""
    UNSAFE = "unsafe"
    """Out of bounds, misaligned, a race, an uninitialised read or a divergent barrier."""
    WRONG = "wrong"
    """An output differs from the reference by more than honest rounding, or has the wrong shape, dtype
    or memory layout, or an input was changed."""
    CHEATING = "cheating"
    """Its outputs do not come from kernels of its own."""
    UNSUPPORTED = "unsupported"
    """This device can't run it (an instruction the emulator refuses, or no such GPU)."""
    OUTCLASSED = "outclassed"
    """Correct on the calls that were made, and its bound can't beat the best of the run; not judged further. Only a search with
    a cascade says so."""


NOTHING_AGAINST = (Verdict.PASSED, Verdict.TIMEOUT, Verdict.UNSUPPORTED, Verdict.CRASHED, Verdict.OUTCLASSED)
"""Verdicts that another machine, a busy one or a faster rival may give on a kernel that is right."""
FOUND_OUT = (Verdict.CHEATING, Verdict.UNSAFE)
"""Verdicts that tell against a kernel on every task."""


class StageStatus(StrEnum):
    """How one stage ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    WARNED = "warned"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Stage(_Frozen):
    """One step of an evaluation: `static`, `build`, `sanitise`, `correctness`, `integrity`, `timing`, `profile`."""

    name: str
    status: StageStatus
    summary: str
    """One short line for tables."""
    seconds: float = Field(ge=0)
    evidence: dict[str, Any] = Field(default_factory=dict)
    """JSON: whatever a reader needs to believe or to mend it."""


class DeviceInfo(_Frozen):
    """Where the kernel ran."""

    kind: str
    """`emulator` or `cuda`."""
    name: str
    """For instance `emulator (H200)` or `NVIDIA H200`."""
    gpu: str
    """The GPU it is, or stands for: a name in the GPU table."""
    arch: str
    """`sm_90`."""
    isolation: str
    """`process`, `bubblewrap` or `docker`."""
    versions: dict[str, str] = Field(default_factory=dict)


class TimingKind(StrEnum):
    """Measured and modelled times never share a column."""

    MEASURED = "measured"
    MODELLED = "modelled"


class TimedCall(_Frozen):
    """One verified call and its time."""

    workload: str
    seconds: float = Field(gt=0)


class Measurement(_Frozen):
    """How a measured time came about: everything that it rests on. Times in seconds."""

    rounds: int
    """In each, every participant had a batch of calls with a cold and one with a warm L2 cache, in random order."""
    calls: dict[str, int]
    """Timed calls by participant: `candidate`, `eager`, `compile`, `max-autotune`."""
    medians: dict[str, dict[str, list[float]]]
    """Raw: the median of each batch, by participant and `cold` or `warm`, one for each round."""
    times: dict[str, dict[str, dict[str, float]]]
    """`value`, `low` and `high` of a 95 % interval, by participant and mode."""
    speedups: dict[str, dict[str, dict[str, float]]]
    """The same of the candidate's speed-up over each baseline, rounds paired."""
    standard_error: float
    """Largest relative standard error of any participant in any mode when measuring ended."""
    budget_ended: bool
    """Whether time ran out before it was small enough."""
    unsettled: list[str]
    """Participants whose times were still moving after warm-up."""
    looked_at: int
    """Timed calls of the candidate, chosen afterwards, whose outputs were compared with the reference's."""
    wall: dict[str, float] | None
    """The judge's own clock: `seconds` a call (slope over random numbers of calls), `offset`, `low`, `high`, and what the
    process `claimed` in these batches. None where calls change their inputs."""
    ceilings: dict[str, Any]
    """Copy bandwidth, matrix products and an empty launch, measured in the same session."""
    clocks: list[dict[str, Any]]
    """Of the GPU, one row for each round: `sm_hz`, `memory_hz`, `celsius`, `watts`, `throttled`."""
    clocks_problem: str = ""
    device: dict[str, Any] = Field(default_factory=dict)
    """Name, capability, memory, versions of torch, CUDA and CuPy."""
    failed: dict[str, str] = Field(default_factory=dict)
    """Baselines that could not be measured, and why."""


class Timing(_Frozen):
    """Times in seconds for one forward call on the task's own workload.

    Each comes from calls whose outputs were verified; `calls` has them all.
    """

    kind: TimingKind
    gpu: str
    seconds: float = Field(gt=0)
    """The candidate: its kernels, what it left to torch, and launch overheads."""
    seconds_low: float | None = Field(default=None, gt=0)
    """The ends of the interval that should hold the time that a GPU takes, in 80 % of cases for a modelled time; None in
    what older versions stored."""
    seconds_high: float | None = Field(default=None, gt=0)
    interval_source: str = ""
    """Where the interval is from: an estimate, a calibration (with GPU, driver and date), or repeats of a measurement."""
    baseline_seconds: float = Field(gt=0)
    baseline_seconds_low: float | None = Field(default=None, gt=0)
    baseline_seconds_high: float | None = Field(default=None, gt=0)
    baseline: str = "eager"
    bound_seconds: float = Field(gt=0)
    """The roofline bound of the task: bytes that must move, operations that must be done."""
    bound_by: str = ""
    """`dram`, `fp32`, ... whichever makes the bound."""
    breakdown: list[dict[str, Any]] = Field(default_factory=list)
    """One row per launch or torch op of the candidate: name, seconds, limited_by, terms."""
    baseline_breakdown: list[dict[str, Any]] = Field(default_factory=list)
    calls: list[TimedCall] = Field(default_factory=list)
    """Every verified call, in order, over all workloads; empty in what older versions stored."""
    speedup_low: float | None = None
    """Lower end of the 95 % bootstrap interval of `speedup` over the calls on the task's own workload."""
    speedup_high: float | None = None
    """Its upper end."""
    measured_again: bool = False
    """Whether the time was a jump, was measured again on fresh inputs, and is the slowest of all."""

    measurement: Measurement | None = None
    """For a measured time, how it came about."""

    @model_validator(mode="after")
    def _intervals(self) -> Self:
        for name in ("seconds", "baseline_seconds"):
            value = getattr(self, name)
            low, high = getattr(self, f"{name}_low"), getattr(self, f"{name}_high")
            if (low is None) != (high is None):
                raise ValueError(f"{name} has one end of an interval only")
            if low is not None and not low <= value <= high:
                raise ValueError(f"{name} is outside of its interval")
        return self

    @property
    def own_calls(self) -> list[TimedCall]:
        """Those on the task's own workload, which comes first."""
        return [call for call in self.calls if call.workload == self.calls[0].workload]

    @property
    def speedup(self) -> float:
        """Baseline over candidate; above 1 is faster."""
        return self.baseline_seconds / self.seconds

    @property
    def roofline_share(self) -> float:
        """Bound over candidate: 1 is at the bound."""
        return self.bound_seconds / self.seconds


class Profile(_Frozen):
    """Counters of the candidate's launches and metrics derived from them.

    `metrics` uses Nsight Compute's names where the meaning is the same; one mapping per launch, in launch order.
    """

    kind: TimingKind = TimingKind.MODELLED
    """`measured` by a GPU's profiler, or counted by the emulator and `modelled`."""
    launches: list[dict[str, Any]]
    """`LaunchReport.to_json()` of each launch of one forward call."""
    torch_ops: list[dict[str, Any]] = Field(default_factory=list)
    """`OpRecord.to_json()` of each op the candidate left to torch."""
    metrics: list[dict[str, float]] = Field(default_factory=list)


class Evaluation(_Frozen):
    """A Kernel judged on a Task."""

    task_id: str
    kernel_id: str
    verdict: Verdict
    reason: str
    """One or two plain sentences: why this verdict, and for a failure what to change."""
    stages: list[Stage]
    device: DeviceInfo
    timing: Timing | None = None
    profile: Profile | None = None
    """Counted by the emulator; `measured_profile` is what a GPU's profiler counted."""
    seeds: dict[str, int] = Field(default_factory=dict)
    """The secret seeds, told afterwards: by workload and repeat."""
    seconds: float = Field(default=0.0, ge=0)
    """Wall time of the whole evaluation."""

    @property
    def measured_profile(self) -> Profile | None:
        """What Nsight Compute counted on the GPU that the time was measured on; None without."""
        for stage in self.stages:
            if stage.name == "gpu profile" and (found := (stage.evidence or {}).get("profile")) is not None:
                return Profile.model_validate(found)
        return None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.timing is not None and (self.timing.kind is TimingKind.MEASURED) != (self.device.kind == "cuda"):
            raise ValueError("a time is measured on a GPU and modelled anywhere else")
        if self.verdict is Verdict.PASSED:
            if self.timing is None:
                raise ValueError("a passed evaluation has a timing")
            if any(stage.status is StageStatus.FAILED for stage in self.stages):
                raise ValueError("a passed evaluation has no failed stage")
        elif not self.reason:
            raise ValueError("a verdict other than passed gives its reason")
        if self.timing is not None and self.verdict is not Verdict.PASSED:
            raise ValueError("only a passed kernel has a timing")
        return self

    @property
    def passed(self) -> bool:
        """Whether the verdict is `passed`."""
        return self.verdict is Verdict.PASSED
