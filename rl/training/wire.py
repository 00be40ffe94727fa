"""What goes between the trainer and its evaluators, as JSON: tasks and kernels there, evaluations back."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from kernelwright.bench_tasks.task import NumericPolicy, Task, Workload
from kernelwright.sandbox.kernel import Kernel

__all__ = ["kernel_from_json", "kernel_json", "task_from_json", "task_json"]


def task_json(task: Task) -> dict[str, Any]:
    """All of a task; `task_from_json` reads it back."""
    return {
        "name": task.name,
        "source": task.source,
        "path": task.path,
        "format": task.format,
        "workloads": [workload.to_json() for workload in task.workloads],
        "policy": vars(task.policy),
        "attachments": {key: base64.b64encode(data).decode() for key, data in task.attachments.items()},
        "backward": task.backward,
    }


def task_from_json(data: Mapping[str, Any]) -> Task:
    """The task, with the id it had."""
    return Task(
        name=data["name"],
        source=data["source"],
        path=data["path"],
        format=data["format"],
        workloads=tuple(Workload.from_json(workload) for workload in data["workloads"]),
        policy=NumericPolicy(**data["policy"]),
        attachments={key: base64.b64decode(text) for key, text in data["attachments"].items()},
        backward=data["backward"],
    )


def kernel_json(kernel: Kernel) -> dict[str, Any]:
    """All of a kernel; `kernel_from_json` reads it back."""
    return {
        "source": kernel.source,
        "author": kernel.author,
        "parents": list(kernel.parents),
        "parameters": dict(kernel.parameters),
        "path": kernel.path,
    }


def kernel_from_json(data: Mapping[str, Any]) -> Kernel:
    """The kernel, with the id it had."""
    return Kernel(data["source"], data["author"], tuple(data["parents"]), data["parameters"], data["path"])
