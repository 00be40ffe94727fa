"""The evidence bundle: one file with all that a verdict rests on, from which anybody can judge again.

    kernel.py, kernel.json       the kernel's source; author, parents and parameters
    task.py, task.json           the reference's source; name, workloads and numeric policy
    attachments/0, ...           files of a task that was handed in from Python
    environment.json             device, GPU description, isolation, versions, limits, machine
    seeds.json                   the secret seeds, in the order in which they were drawn
    stages.json                  each stage's result with its evidence
    samples.json                 per call its error share; the launches with their counters; the times made of them
    evaluation.json              verdict, reason, wall time

`kernelwright.verifier.archive` is the file around them, with the hashes.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from kernelwright.bench_tasks.task import Task
from kernelwright.errors import BundleError
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.process import Limits
from kernelwright.verifier.archive import Change, seal, unseal
from kernelwright.verifier.evaluation import Evaluation
from kernelwright.verifier.exact_json import from_json, to_json
from kernelwright.verifier.model.gpus import Gpu

__all__ = ["Bundle", "ReadBundle", "environment", "pack", "read"]

_LONGEST_CALL = 86_400.0  # seconds, as the settings allow


@dataclass(frozen=True)
class Bundle:
    """What is in one."""

    task: Task
    kernel: Kernel
    evaluation: Evaluation
    environment: Mapping[str, Any]
    """As `environment` gives it."""
    limits: Limits


@dataclass(frozen=True)
class ReadBundle:
    """A bundle's file after reading: `bundle` is None if anything in it was changed."""

    digest: str
    """SHA-256 of the manifest; empty if that was changed."""
    changes: tuple[Change, ...]
    bundle: Bundle | None


def environment(evaluation: Evaluation, gpu: Gpu) -> dict[str, Any]:
    """What a verdict may depend on besides task, kernel and seeds, as JSON. No name of a person, a folder or a machine."""
    import torch

    return {
        "device": evaluation.device.model_dump(mode="json"),
        "gpu": gpu.model_dump(mode="json"),
        "machine": {
            "python": platform.python_version(),
            "system": platform.system(),
            "processor": platform.machine(),
            "torch_vectors": torch.backends.cpu.get_cpu_capability(),
        },
    }


def pack(task: Task, kernel: Kernel, evaluation: Evaluation, *, gpu: Gpu, limits: Limits) -> bytes:
    """The bundle's file. The same arguments on the same machine give the same bytes.

    Args:
        gpu, limits: those that `evaluation` was made with.

    Raises:
        BundleError: it would be too large.
    """
    if (task.id, kernel.id) != (evaluation.task_id, evaluation.kernel_id):
        raise ValueError("the evaluation is of another task or kernel")
    whole = evaluation.model_dump(mode="python")
    profile = whole["profile"] or {}
    stages, calls = _without_calls(whole["stages"])
    named = sorted(task.attachments)
    members: dict[str, Any] = {
        "kernel.json": {"author": kernel.author, "parents": kernel.parents, "parameters": kernel.parameters},
        "task.json": {
            "name": task.name,
            "format": task.format,
            "workloads": [asdict(workload) for workload in task.workloads],
            "policy": asdict(task.policy),
            "attachments": named,
            **({"backward": True} if task.backward else {}),
        },
        "environment.json": {**environment(evaluation, gpu), "limits": asdict(limits)},
        "seeds.json": list(evaluation.seeds.items()),
        "stages.json": stages,
        "samples.json": {"calls": calls, "profile": profile or None, "timing": whole["timing"]},
        "evaluation.json": {key: whole[key] for key in ("verdict", "reason", "seconds", "task_id", "kernel_id")},
    }
    files = {name: to_json(value).encode() for name, value in members.items()}
    files |= {"kernel.py": kernel.source.encode(), "task.py": task.source.encode()}
    files |= {f"attachments/{place}": task.attachments[name] for place, name in enumerate(named)}
    about = {
        "kernelwright": evaluation.device.versions.get("kernelwright", "unknown"),
        "task_id": task.id,
        "kernel_id": kernel.id,
        "verdict": evaluation.verdict.value,
    }
    return seal(files, about)


def read(data: bytes) -> ReadBundle:
    """The bundle in a file's bytes, with what was changed of it.

    Raises:
        BundleError: it is no bundle, a part of one, malformed, or of a version that this program does not know.
    """
    opened = unseal(data)
    if opened.changes:
        return ReadBundle(opened.digest, opened.changes, None)
    maker = opened.manifest.get("kernelwright")
    try:
        bundle = _bundle(opened.members)
    except (ValidationError, KeyError, TypeError, ValueError, RecursionError, AttributeError) as error:
        what = f"{error.error_count()} fields" if isinstance(error, ValidationError) else f"{error}"
        raise BundleError(
            f"the bundle is whole, but what is in it can't be read here ({what[:200]}).",
            mend=f"It was made by kernelwright {maker[:40]}: use that one." if isinstance(maker, str) else "",
        ) from error
    said = bundle.evaluation.task_id, bundle.evaluation.kernel_id
    for noun, here, there in zip(("task", "kernel"), (bundle.task.id, bundle.kernel.id), said, strict=True):
        if here != there:
            raise BundleError(
                f"the bundle's {noun} has the id {here} here, and its evaluation is of {there[:40]}: it can't be rebuilt.",
                mend=f"It was made by kernelwright {maker[:40]}: use that one." if isinstance(maker, str) else "",
            )
    return ReadBundle(opened.digest, (), bundle)


def _bundle(members: Mapping[str, bytes]) -> Bundle:
    task, kernel, around, samples, head, seeds, stages = (
        from_json(members[f"{name}.json"].decode())
        for name in ("task", "kernel", "environment", "samples", "evaluation", "seeds", "stages")
    )
    named = task.pop("attachments")
    attachments = {str(name): members[f"attachments/{place}"] for place, name in enumerate(named)}
    names = [stage["name"] for stage in stages]
    if len({*names}) < len(names):
        raise ValueError("a stage is there twice")
    limits = TypeAdapter(Limits).validate_python(around.pop("limits"))
    if not 0 < limits.call_seconds <= _LONGEST_CALL:
        raise ValueError(f"a call may take {limits.call_seconds} s")
    return Bundle(
        task=TypeAdapter(Task).validate_python(
            {**task, "source": members["task.py"].decode(), "attachments": attachments}
        ),
        kernel=TypeAdapter(Kernel).validate_python({**kernel, "source": members["kernel.py"].decode()}),
        evaluation=Evaluation.model_validate(
            {
                **head,
                "stages": _with_calls(stages, samples["calls"]),
                "device": around["device"],
                "timing": samples["timing"],
                "profile": samples["profile"],
                "seeds": {str(name): seed for name, seed in seeds},
            }
        ),
        environment=around,
        limits=limits,
    )


def _without_calls(stages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[Any]]:
    """The stages, with the rows of the correctness calls put apart."""
    calls: list[Any] = []
    kept = []
    for stage in stages:
        evidence = dict(stage["evidence"])
        if stage["name"] == "correctness":
            calls = evidence.pop("calls", [])
        kept.append({**stage, "evidence": evidence})
    return kept, calls


def _with_calls(stages: list[dict[str, Any]], calls: list[Any]) -> list[dict[str, Any]]:
    return [
        {**stage, "evidence": {**stage["evidence"], "calls": calls}}
        if stage["name"] == "correctness" and calls
        else stage
        for stage in stages
    ]
