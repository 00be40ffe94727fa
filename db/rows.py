"""Between nouns and rows: what goes into the columns, and the noun rebuilt from them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from kernelwright.agents.protocols import Advice
from kernelwright.bench_tasks.task import NumericPolicy, Task, Workload
from kernelwright.db.models import AttemptRow, DeviceRow, EvaluationRow, KernelRow, RunRow, TaskRow
from kernelwright.db.types import content_id, dump_json, load_json
from kernelwright.rl.run import Attempt, Run, RunStatus
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import DeviceInfo, Evaluation, Profile, Stage, Timing, Verdict

__all__ = [
    "Columns",
    "attempt_columns",
    "attempt_of",
    "device_columns",
    "device_of",
    "evaluation_columns",
    "evaluation_of",
    "kernel_columns",
    "kernel_of",
    "run_columns",
    "run_of",
    "task_columns",
    "task_of",
]

Columns = dict[str, Any]
"""Column name to value, of one row."""


def _plain(noun: BaseModel) -> dict[str, Any]:
    """As lists, dicts, texts and numbers. Pydantic's own JSON mode writes None for an infinity or NaN in an `Any`."""
    plain: dict[str, Any] = load_json(dump_json(noun.model_dump()))
    return plain


def task_columns(task: Task, created: datetime) -> Columns:
    """The row of a task, without its attachments."""
    return {
        "id": task.id,
        "name": task.name,
        "path": task.path,
        "format": task.format,
        "source": task.source,
        "workloads": [w.to_json() for w in task.workloads],
        "policy": asdict(task.policy) | ({"backward": True} if task.backward else {}),
        "created": created,
    }


def task_of(row: TaskRow, *, name: str | None = None, path: str | None = None) -> Task:
    """The task; `name` and `path` (both, when a name is given) stand in for those first seen."""
    policy = dict(row.policy)
    backward = bool(policy.pop("backward", False))
    return Task(
        name=row.name if name is None else name,
        source=row.source,
        path=row.path if name is None else path,
        format=row.format,
        workloads=tuple(Workload.from_json(w) for w in row.workloads),
        policy=NumericPolicy(**policy),
        attachments={a.name: a.data for a in row.attachments},
        backward=backward,
    )


def kernel_columns(kernel: Kernel, created: datetime) -> Columns:
    """The row of a kernel, without its parents."""
    return {
        "id": kernel.id,
        "source": kernel.source,
        "author": kernel.author,
        "parameters": dict(kernel.parameters),
        "path": kernel.path,
        "created": created,
    }


def kernel_of(row: KernelRow) -> Kernel:
    """The kernel as it was first seen."""
    return Kernel(row.source, row.author, tuple(p.parent_id for p in row.parents), dict(row.parameters), row.path)


def device_columns(device: DeviceInfo, created: datetime) -> Columns:
    """The row of a device."""
    fields = _plain(device)
    return {"id": content_id(fields), **fields, "created": created}


def device_of(row: DeviceRow) -> DeviceInfo:
    """The device, equal to the one stored."""
    return DeviceInfo(
        kind=row.kind, name=row.name, gpu=row.gpu, arch=row.arch, isolation=row.isolation, versions=row.versions
    )


def evaluation_columns(evaluation: Evaluation, created: datetime) -> Columns:
    """The row of an evaluation."""
    data = _plain(evaluation)
    timing = evaluation.timing
    return {
        "id": content_id(data),
        "task_id": evaluation.task_id,
        "kernel_id": evaluation.kernel_id,
        "device_id": content_id(data["device"]),
        "verdict": evaluation.verdict.value,
        "reason": evaluation.reason,
        "stages": data["stages"],
        "timing": data["timing"],
        "timing_kind": None if timing is None else timing.kind.value,
        "gpu": evaluation.device.gpu if timing is None else timing.gpu,
        "seconds": None if timing is None else timing.seconds,
        "baseline_seconds": None if timing is None else timing.baseline_seconds,
        "speedup": None if timing is None else timing.speedup,
        "profile": data["profile"],
        "seeds": data["seeds"],
        "wall_seconds": evaluation.seconds,
        "created": created,
    }


def evaluation_of(row: EvaluationRow) -> Evaluation:
    """The evaluation, equal to the one stored."""
    return Evaluation(
        task_id=row.task_id,
        kernel_id=row.kernel_id,
        verdict=Verdict(row.verdict),
        reason=row.reason,
        stages=[Stage.model_validate(stage) for stage in row.stages],
        device=device_of(row.device),
        timing=None if row.timing is None else Timing.model_validate(row.timing),
        profile=None if row.profile is None else Profile.model_validate(row.profile),
        seeds=row.seeds,
        seconds=row.wall_seconds,
    )


def run_columns(run: Run, updated: datetime) -> Columns:
    """The row of a run."""
    return {
        "id": run.id,
        "task_id": run.task.id,
        "task_name": run.task.name,
        "task_path": run.task.path,
        "strategy": run.strategy,
        "coder": run.coder,
        "judge": run.judge,
        "device": run.device,
        "gpu": run.gpu,
        "rounds": run.rounds,
        "status": run.status.value,
        "message": run.message,
        "settings": run.settings,
        "created": run.created,
        "updated": updated,
    }


def run_of(row: RunRow) -> Run:
    """The run, with the task under the name and path that this run gave it."""
    return Run(
        id=row.id,
        task=task_of(row.task, name=row.task_name, path=row.task_path),
        strategy=row.strategy,
        coder=row.coder,
        judge=row.judge,
        device=row.device,
        gpu=row.gpu,
        rounds=row.rounds,
        status=RunStatus(row.status),
        created=row.created,
        message=row.message,
        settings=row.settings,
    )


def attempt_columns(attempt: Attempt) -> Columns:
    """The row of an attempt, without its `id`, which the database gives."""
    return {
        "run_id": attempt.run_id,
        "number": attempt.number,
        "plan": attempt.plan,
        "kernel_id": attempt.kernel.id,
        "author": attempt.kernel.author,
        "parents": list(attempt.kernel.parents),
        "parameters": dict(attempt.kernel.parameters),
        "kernel_path": attempt.kernel.path,
        "evaluation_id": content_id(_plain(attempt.evaluation)),
        "advice": None if attempt.advice is None else _plain(attempt.advice),
        "notes": list(attempt.notes),
        "created": attempt.created,
        "seconds": attempt.seconds,
    }


def attempt_of(row: AttemptRow) -> Attempt:
    """The attempt, equal to the one stored."""
    return Attempt(
        run_id=row.run_id,
        number=row.number,
        plan=row.plan,
        kernel=Kernel(row.kernel.source, row.author, tuple(row.parents), dict(row.parameters), row.kernel_path),
        evaluation=evaluation_of(row.evaluation),
        advice=None if row.advice is None else Advice.model_validate(row.advice),
        created=row.created,
        seconds=row.seconds,
        notes=tuple(row.notes),
    )
