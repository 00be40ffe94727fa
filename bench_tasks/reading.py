"""Reads one task, in whichever of the known formats it is."""

from __future__ import annotations

from pathlib import Path

from kernelwright.bench_tasks.collections import read_collection, readers
from kernelwright.bench_tasks.kernelbench import read_task
from kernelwright.bench_tasks.suite import SuiteTask
from kernelwright.bench_tasks.task import Task
from kernelwright.errors import TaskError

__all__ = ["read_any_task", "with_own_twin"]


def read_any_task(path: Path) -> Task:
    """The task at `path`: a KernelBench-style file, a folder or file of robust-kbench, a definition of FlashInfer-Bench, a folder
    or `task.yml` of GPU MODE. Nothing of it is run.

    Raises:
        TaskError: it can't be read, or there are several.
    """
    if not path.exists():
        return read_task(path)  # which says so
    for reader in readers():
        if reader.__name__.endswith(".kernelbench") or not reader.recognises(path):
            continue
        if one := getattr(reader, "read_one", None):
            task: Task = one(path)
            return task
        suite = reader.read(path)
        if len(suite.tasks) == 1:
            return suite.tasks[0].task
        if not suite.tasks and suite.unreadable:
            first = suite.unreadable[0]
            raise TaskError(first.why, path=first.path, mend=first.mend)
        raise TaskError(
            f"this is a collection of {len(suite.tasks)} tasks, not one.",
            path=str(path),
            mend="Give the path of one of them, or run all: kernelwright bench run PATH.",
        )
    return read_task(path)


def with_own_twin(task: Task, path: Path) -> SuiteTask:
    """A task that was read at `path`, with the smaller sizes that its file or collection says it has.

    Raises:
        TaskError: what it says of them is not as it should be.
    """
    found = next((each for each in read_collection(path).tasks if each.task.id == task.id), None)
    return SuiteTask(task.name, task) if found is None else found
