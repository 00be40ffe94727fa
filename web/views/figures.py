"""Figures that several pages show: times with their intervals, stages, what the compiler said of each kernel."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel

from kernelwright.bench_tasks.task import Task
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.symbols import plain_name
from kernelwright.verifier.evaluation import Evaluation, Stage, StageStatus, Timing, TimingKind
from kernelwright.verifier.explain import explain
from kernelwright.words import limited_by

__all__ = [
    "ResourceLine",
    "StageView",
    "Text",
    "TimingView",
    "mapping",
    "real",
    "resources_of",
    "stages_of",
    "timing_of",
]


def _encodable(text: str) -> str:
    return _SURROGATE.sub("?", text)


_SURROGATE = re.compile("[\ud800-\udfff]")

Text = Annotated[str, AfterValidator(_encodable)]
"""A stranger's text: lone surrogates, which no answer can carry, are question marks."""


class TimingView(BaseModel):
    """What one call takes; times in seconds."""

    kind: TimingKind
    gpu: str
    seconds: float
    seconds_low: float | None
    seconds_high: float | None
    interval_source: Text
    baseline: str
    baseline_seconds: float
    baseline_seconds_low: float | None
    baseline_seconds_high: float | None
    speedup: float
    """Baseline over candidate."""
    speedup_low: float | None
    """The ends of its 95 % interval over the timed calls."""
    speedup_high: float | None
    bound_seconds: float
    bound_by: str
    roofline_share: float
    """Bound over candidate."""
    limited_by: str
    measured_again: bool


class FoundLine(BaseModel):
    """A line of the source at which something was found."""

    text: Text
    line: int | None
    """In the kernel's file, from 1; null where it can't be told."""
    cuda_line: int | None
    """In the CUDA source given to the compiler."""


class StageView(BaseModel):
    """A stage of the judgement."""

    name: str
    status: str
    """`passed`, `failed`, `warned`, `skipped` or `not reached`."""
    summary: Text
    seconds: float | None
    """Null if it was not reached."""
    sentences: list[Text]
    """What it proved, or what failed."""
    lines: list[FoundLine]


class ResourceLine(BaseModel):
    """What the compiler gave a kernel; bytes per thread, shared memory per block."""

    kernel: Text
    arch: str
    registers: int | None
    static_shared: int | None
    dynamic_shared: int | None
    """Of its launches, the most; null if it was not launched where that is known."""
    stack: int | None
    spill_stores: int | None
    spill_loads: int | None
    constant: int | None
    barriers: int | None


def timing_of(evaluation: Evaluation) -> TimingView | None:
    """The times of an evaluation that passed."""
    timing = evaluation.timing
    if timing is None:
        return None
    own = set(Timing.model_fields) & set(TimingView.model_fields)
    return TimingView(
        **{name: getattr(timing, name) for name in own},
        speedup=timing.speedup,
        roofline_share=timing.roofline_share,
        limited_by=limited_by(evaluation),
    )


def stages_of(task: Task, kernel: Kernel, evaluation: Evaluation) -> list[StageView]:
    """Every stage in order, those not reached included, with what it says in words."""
    reached = {stage.name: stage for stage in evaluation.stages}
    found = []
    for each in explain(task, kernel, evaluation):
        stage = reached.get(each.stage)
        found.append(
            StageView(
                name=each.stage,
                status=each.status,
                summary="" if stage is None else stage.summary,
                seconds=None if stage is None else stage.seconds,
                sentences=list(each.sentences),
                lines=[FoundLine(text=line.text, line=line.line, cuda_line=line.cuda_line) for line in each.lines],
            )
        )
    return found


def resources_of(evaluation: Evaluation) -> list[ResourceLine]:
    """One line for each compiled kernel, from the evidence of the stage `build`."""
    build = next((stage for stage in evaluation.stages if stage.name == "build"), None)
    dynamic: dict[str, int] = {}
    for launch in () if evaluation.profile is None else evaluation.profile.launches:
        name = str(launch.get("kernel"))
        dynamic[name] = max(dynamic.get(name, 0), int(real(launch.get("dynamic_shared"))))
    found = mapping(evidence_of(build).get("resources"))
    names = ("registers", "static_shared", "stack", "spill_stores", "spill_loads", "constant", "barriers")
    return [
        ResourceLine(
            kernel=plain_name(str(name)),
            arch=str(mapping(given).get("arch", "")),
            dynamic_shared=dynamic.get(str(name)),
            **{key: whole(mapping(given).get(key)) for key in names},
        )
        for name, given in found.items()
    ]


def evidence_of(stage: Stage | None) -> Mapping[str, Any]:
    """What a stage found; nothing of none."""
    return {} if stage is None else stage.evidence


def failed_stage(evaluation: Evaluation) -> Stage | None:
    """The stage that decided against the kernel."""
    return next((stage for stage in evaluation.stages if stage.status is StageStatus.FAILED), None)


def mapping(value: Any) -> Mapping[str, Any]:
    """Evidence may come from anywhere: an object, or none."""
    return value if isinstance(value, Mapping) else {}


def listed(value: Any) -> Sequence[Any]:
    """An array, or none."""
    return value if isinstance(value, list | tuple) else ()


def real(value: Any) -> float:
    """A finite number, else 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if abs(value) < 1e300 else 0.0


def whole(value: Any) -> int | None:
    """A whole number, or none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
