"""What a run of a suite consists of: the tasks at one scale, the settings that its searches have in common."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from kernelwright.bench.environment import fingerprint
from kernelwright.bench_tasks.suite import Scale, Suite, SuiteTask
from kernelwright.bench_tasks.task import Task
from kernelwright.config import Settings
from kernelwright.db.bench import BenchItem, BenchRun, BenchStatus, ItemStatus
from kernelwright.errors import MisuseError
from kernelwright.jobs import Target
from kernelwright.policy_weights import kept_weights, with_weights
from kernelwright.rl.ids import new_run_id
from kernelwright.writers import chosen_names

__all__ = [
    "KEPT",
    "Options",
    "Planned",
    "default_jobs",
    "options_of",
    "plan_run",
    "scale_for",
    "selected",
    "settings_of",
]

KEPT = (
    "strategy", "rounds", "candidates", "islands", "archive", "seed", "model", "authors", "sampler", "cascade", "judge_model", "builtin_first",
    "exemplars", "reasoning", "temperature", "isolation", "call_seconds", "memory_bytes", "timing_seconds",
)  # fmt: skip
"""Settings of the searches; those about this machine (folders, keys, prices, the log) are taken as they are at the time."""


@dataclass(frozen=True)
class Options:
    """How the items of a run are worked on; each can be another when it is gone on with."""

    jobs: int
    """Items at a time."""
    task_seconds: float
    """Wall time that one item may take."""
    budget: Decimal | None
    """US dollars that the model calls of all items may cost together."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `options_of` reads it back."""
        budget = None if self.budget is None else f"{self.budget:f}"
        return {"jobs": self.jobs, "task_seconds": self.task_seconds, "budget": budget}


@dataclass(frozen=True)
class Planned:
    """A run that is not stored yet."""

    run: BenchRun
    items: tuple[BenchItem, ...]
    tasks: tuple[Task, ...]


def default_jobs(device: str) -> int:
    """Items at a time where nothing is said: half of the cores on the emulator, at most four; one on a GPU, which measures one
    kernel at a time anyway."""
    return 1 if device == "cuda" else max(1, min(4, (os.cpu_count() or 1) // 2))


def scale_for(asked: str, device: str) -> Scale:
    """`auto` is the twins on the emulator and full size on a GPU."""
    if asked != "auto":
        return Scale(asked)
    return Scale.FULL if device == "cuda" else Scale.TWIN


def selected(suite: Suite, only: Sequence[str], *, variants: bool = True) -> tuple[SuiteTask, ...]:
    """The tasks that one of the patterns matches, all if there is none; without variants those whose name has no ``@``.

    Raises:
        MisuseError: none is left.
    """
    found = tuple(
        task
        for task in suite.tasks
        if (variants or "@" not in task.name) and (not only or any(fnmatchcase(task.name, pattern) for pattern in only))
    )
    if found:
        return found
    why = f"no task of {suite.name} has a name like {' or '.join(only)}." if only else f"{suite.name} has no task."
    raise MisuseError(why, mend=f"See their names: kernelwright bench list {suite.path or suite.name}")


def plan_run(
    suite: Suite,
    tasks: Sequence[SuiteTask],
    settings: Settings,
    target: Target,
    options: Options,
    *,
    scale: Scale,
    repeats: int,
    now: datetime,
) -> Planned:
    """A run of these tasks of the suite, repeat after repeat.

    Raises:
        TaskError: a twin names a number that its task does not have.
    """
    coder, judge = chosen_names(settings)
    run = BenchRun(
        id=new_run_id(suite.name),
        suite=suite.name,
        suite_path=suite.path,
        digest=suite.digest,
        suite_size=len(suite.tasks),
        scale=scale,
        strategy=settings.strategy,
        coder=coder,
        judge=judge,
        rounds=settings.rounds,
        repeats=repeats,
        device=target.device.kind,
        gpu=target.gpu.name,
        status=BenchStatus.RUNNING,
        created=now,
        settings={
            **{name: plain(getattr(settings, name)) for name in KEPT},
            **kept_weights(settings),
            **options.to_json(),
            "fenced": suite.format != "kernelwright",  # a collection may be a stranger's
            **({"twins": [sum(bool(each.twin) for each in tasks), len(tasks)]} if scale is Scale.TWIN else {}),
        },
        environment=fingerprint(target.device),
    )
    at_scale = [each.at(scale) for each in tasks]
    items = []
    for repeat in range(repeats):
        for number, (each, task) in enumerate(zip(tasks, at_scale, strict=True)):
            item = BenchItem(run.id, len(tasks) * repeat + number, each.name, repeat, task.id, task.name, task.path)
            if scale is Scale.TWIN and each.full_only:  # there is no twin: at full size the emulator would not end
                item = replace(item, status=ItemStatus.FAILED, problem=each.full_only)
            items.append(item)
    return Planned(run, tuple(items), tuple(at_scale))


def plain(value: Any) -> Any:
    """A setting as JSON has it."""
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _back(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def settings_of(run: BenchRun, here: Settings) -> Settings:
    """The settings under which the searches of a run are made.

    Args:
        here: those in force on this machine.

    Raises:
        ConfigError: the weights of its sampler are gone, or others now.
    """
    kept: Mapping[str, Any] = {name: _back(run.settings[name]) for name in KEPT if name in run.settings}
    settings = here.model_copy(update={**kept, "gpu": run.gpu, "device": run.device, "budget": None})
    return with_weights(settings, run.settings)


def options_of(run: BenchRun) -> Options:
    """As they were when the run was begun or last gone on with."""
    budget = run.settings.get("budget")
    return Options(
        int(run.settings["jobs"]), float(run.settings["task_seconds"]), None if budget is None else Decimal(budget)
    )
