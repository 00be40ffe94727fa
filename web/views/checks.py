"""What was checked of a kernel: correctness by workload, integrity, the compiler's log."""

from __future__ import annotations

from pydantic import BaseModel

from kernelwright.bench_tasks.task import Task
from kernelwright.sandbox.symbols import plain_name
from kernelwright.verifier.evaluation import Evaluation, Stage, StageStatus
from kernelwright.web.views.figures import (
    ResourceLine,
    Text,
    evidence_of,
    failed_stage,
    listed,
    mapping,
    real,
    resources_of,
    whole,
)

__all__ = ["BuildView", "CorrectnessView", "IntegrityView", "build_of", "correctness_of", "integrity_of"]

_LOG = 40_000  # characters of a compiler's log that are shown
_CHECKED = ("correctness", "gpu correctness")


class BuildView(BaseModel):
    """What the compiler said."""

    resources: list[ResourceLine]
    log: Text
    excerpt: Text
    """The line at fault, where it is known."""
    seconds: float | None


class WorkloadLine(BaseModel):
    """How the outputs compared on one workload."""

    where: str
    """`emulator` or `gpu`."""
    name: Text
    drawn_as: str
    """The distribution of its values."""
    calls: int
    worst: float | None
    """Largest error as a share of what is allowed; null where no call ended, or the outputs can't be compared."""
    status: str
    """`passed`, `failed`, or `not tried`."""


class MismatchView(BaseModel):
    """The first output that is wrong, at the place where it is worst."""

    what: Text
    index: list[int]
    got: float | None
    expected: float | None
    allowed: float | None
    """The largest difference that would have done."""


class PolicyView(BaseModel):
    """What errors the task allows; see docs/numerics.md."""

    slack: float
    """Times the error of honest arithmetic, for outputs in 32 bits or more."""
    narrow_slack: float
    """The same for outputs in 16 bits."""
    floor_ulps: float
    narrow_floor_ulps: float


class CorrectnessView(BaseModel):
    """Correctness by workload."""

    policy: PolicyView
    workloads: list[WorkloadLine]
    mismatch: MismatchView | None
    skipped: list[Text]
    """Workloads that were left out, and why."""


class OwnKernel(BaseModel):
    """A kernel that stored to memory."""

    kernel: Text
    stored_bytes: int


class IntegrityView(BaseModel):
    """That the outputs come from the kernel's own launches."""

    status: str
    """Of the stage; `not reached` if it was not."""
    reason: Text
    kernels: list[OwnKernel]
    outputs_written: list[bool]
    """Of each output, whether it lies in memory that its kernels stored to."""
    without_launches: str
    """What came of the same call with every launch doing nothing: `spoilt`, `fails`, or empty."""
    bitwise: bool | None
    """Whether a second call on the same inputs gave the same bits; null where it was not made."""
    changed: int
    """Elements that it gave otherwise."""


def build_of(evaluation: Evaluation) -> BuildView:
    """From the stage `build`, and from `static` where the module did not even parse."""
    stage = _stage(evaluation, "build")
    failed = failed_stage(evaluation)
    evidence = evidence_of(stage)
    log = str(evidence.get("log") or evidence.get("detail") or "")
    quote = evidence_of(failed).get("excerpt") if failed is not None and failed.name in {"static", "build"} else ""
    return BuildView(
        resources=resources_of(evaluation),
        log=log if len(log) <= _LOG else f"{log[:_LOG]}\n... {len(log) - _LOG:,} more characters",
        excerpt=str(quote or ""),
        seconds=None if stage is None else stage.seconds,
    )


def correctness_of(task: Task, evaluation: Evaluation) -> CorrectnessView:
    """From the stages that compared outputs; workloads of the task that were not come last."""
    drawn = {workload.name: workload.distribution.value for workload in task.workloads}
    lines: list[WorkloadLine] = []
    mismatch: MismatchView | None = None
    skipped: list[str] = []
    for name in _CHECKED:
        stage = _stage(evaluation, name)
        if stage is None:
            continue
        evidence = evidence_of(stage)
        where = "emulator" if name == "correctness" else "gpu"
        found: dict[str, WorkloadLine] = {}
        for call in map(mapping, listed(evidence.get("calls"))):
            workload = str(call.get("workload"))
            line = found.setdefault(
                workload,
                WorkloadLine(
                    where=where, name=workload, drawn_as=drawn.get(workload, ""), calls=0, worst=0.0, status="passed"
                ),
            )
            line.calls += 1
            line.worst = max(line.worst or 0.0, real(call.get("share_of_allowed")))
        if stage.status is StageStatus.FAILED and evidence.get("workload") is not None:
            workload = str(evidence["workload"])
            mismatch = _mismatch(mapping(evidence.get("mismatch")))
            calls = found[workload].calls if workload in found else 1
            found[workload] = WorkloadLine(
                where=where,
                name=workload,
                drawn_as=drawn.get(workload, ""),
                calls=calls,
                worst=_share(mismatch),
                status="failed",
            )
        lines += found.values()
        skipped += map(str, listed(evidence.get("skipped")))
    tried = {line.name for line in lines}
    lines += [
        WorkloadLine(where="emulator", name=name, drawn_as=kind, calls=0, worst=None, status="not tried")
        for name, kind in drawn.items()
        if name not in tried
    ]
    own = task.policy
    policy = PolicyView(**{name: getattr(own, name) for name in PolicyView.model_fields})
    return CorrectnessView(policy=policy, workloads=lines, mismatch=mismatch, skipped=skipped)


def integrity_of(evaluation: Evaluation) -> IntegrityView:
    """From the stage `integrity`, and the second call of `correctness`."""
    stage = _stage(evaluation, "integrity")
    evidence = evidence_of(stage)
    rerun = mapping(evidence_of(_stage(evaluation, "correctness")).get("rerun"))
    failed = stage is not None and stage.status is StageStatus.FAILED
    return IntegrityView(
        status="not reached" if stage is None else stage.status.value,
        reason=evaluation.reason if failed else "",
        kernels=[
            OwnKernel(kernel=plain_name(str(name)), stored_bytes=int(real(stored)))
            for name, stored in mapping(evidence.get("kernels")).items()
        ],
        outputs_written=[bool(each) for each in listed(evidence.get("outputs_written"))],
        without_launches=str(evidence.get("without_launches") or ""),
        bitwise=bool(rerun.get("bitwise")) if rerun else None,
        changed=int(real(rerun.get("changed"))),
    )


def _stage(evaluation: Evaluation, name: str) -> Stage | None:
    return next((stage for stage in evaluation.stages if stage.name == name), None)


def _mismatch(given: object) -> MismatchView | None:
    found = mapping(given)
    if not found:
        return None
    numbers = {name: _finite(found.get(name)) for name in ("got", "expected", "allowed")}
    index = [whole(n) or 0 for n in listed(found.get("index"))]
    return MismatchView(what=str(found.get("what", "")), index=index, **numbers)


def _finite(value: object) -> float | None:
    """A number that JSON has a word for."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and abs(value) < 1e300 else None  # type: ignore[arg-type]


def _share(mismatch: MismatchView | None) -> float | None:
    if mismatch is None or mismatch.got is None or mismatch.expected is None or not mismatch.allowed:
        return None
    return abs(mismatch.got - mismatch.expected) / mismatch.allowed
