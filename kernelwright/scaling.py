"""A task file at smaller sizes, for who has no GPU: its own twin, or one that is looked for as `bench import` does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kernelwright.bench_tasks.reading import read_any_task, with_own_twin
from kernelwright.bench_tasks.task import Task
from kernelwright.bench_tasks.twin import scaled_down, scaled_words
from kernelwright.errors import TaskError

if TYPE_CHECKING:
    from kernelwright.config import Settings

__all__ = ["task_at"]


def task_at(path: Path, scale: str, settings: Settings, say: Callable[[str], None]) -> Task:
    """The task at `path` at a scale: `full`, `twin`, or `auto`, which is `twin` where kernels run on the emulator.

    Args:
        say: is told, in sentences, at which sizes it is and that they are looked for.

    Raises:
        TaskError: it can't be read, does not load, or no smaller sizes of it are known.
        ConfigError: sizes are to be looked for, and nothing here can fence the task's code in.
    """
    task = read_any_task(path)
    if scale == "full":
        return task
    if scale == "auto":
        from kernelwright.jobs import resolve_target

        if resolve_target(settings).device.kind == "cuda":
            return task
    known = with_own_twin(task, path)
    twin = known.twin
    if not twin:
        from kernelwright.importing import probed
        from kernelwright.sandbox.probe import ProbeStatus

        say("Looking for smaller sizes.")
        found = probed(known, settings)
        if found.status is ProbeStatus.NOT_LOADED:
            raise TaskError(found.why, path=task.path, mend=found.mend)
        if found.status is ProbeStatus.NO_TWIN:
            mend = "Write TWIN = {...} with smaller values for numbers of the file, or take --scale full."
            raise TaskError(f"it has no smaller sizes: {found.why}", path=task.path, mend=mend)
        twin = found.twin
    if not twin:
        say("The file's own sizes are small enough for the emulator: nothing is scaled down.")
        return task
    small = scaled_down(task, twin)
    say(f"Scaled down: {scaled_words(small)}. Times are of these sizes, not of the file's.")
    return small
