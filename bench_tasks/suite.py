"""Suite: tasks that are run and scored together, ours or those of another system, and what of it could not be read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from kernelwright.bench_tasks.task import Task
from kernelwright.bench_tasks.twin import twin_of_task

__all__ = ["Scale", "Suite", "SuiteTask", "Unreadable"]


class Scale(StrEnum):
    """At which sizes a task is judged. Times of the two never share a row."""

    FULL = "full"
    """As the file has them: what a GPU runs."""
    TWIN = "twin"
    """Scaled down, the same in everything else: what the emulator runs."""


@dataclass(frozen=True)
class SuiteTask:
    """One task of a suite."""

    name: str
    """Unique in its suite; a variant is called ``softmax@half``."""
    task: Task
    """At full size."""
    family: str = ""
    """What kind of kernel it asks for: `norm`, `matmul`, ...; empty where its source does not say."""
    level: str = ""
    """KernelBench's level, or another system's grouping; empty for ours."""
    title: str = ""
    """One line for people."""
    twin: Mapping[str, int] = field(default_factory=dict)
    """Names of numbers in the source, and what they are in the twin; empty where the task has none."""
    full_only: str = ""
    """Why the emulator can't judge it at either scale, one sentence: it is too large, and no twin is known. Else empty."""

    def at(self, scale: Scale) -> Task:
        """The task at a scale; one without a twin is the same at both.

        Raises:
            TaskError: the twin names a number that the source does not have.
        """
        if scale is Scale.FULL or not self.twin:
            return self.task
        return twin_of_task(self.task, self.twin)


@dataclass(frozen=True)
class Unreadable:
    """Something in a collection that looks like a task and can't be read as one."""

    name: str
    path: str
    why: str
    """One sentence."""
    mend: str = ""
    level: str = ""


@dataclass(frozen=True)
class Suite:
    """Tasks in the order in which they are shown."""

    name: str
    title: str
    format: str
    """`kernelwright` for ours, else `kernelbench`, `robust-kbench`, `flashinfer-bench` or `gpu-mode`."""
    tasks: tuple[SuiteTask, ...]
    path: str | None = None
    unreadable: tuple[Unreadable, ...] = ()

    @property
    def digest(self) -> str:
        """Content hash over the tasks and their twins, 16 hex digits: results of two suites are compared only where it is the same."""
        parts = [
            f"{each.name} {each.task.id} {sorted(each.twin.items())}"
            for each in sorted(self.tasks, key=lambda t: t.name)
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
