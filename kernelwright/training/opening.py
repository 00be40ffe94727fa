"""What a stage of training begins with: its tasks, their history in the store, the runs that attempts go to, the prompts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from kernelwright.agents.llm.briefing import Briefing
from kernelwright.bench_tasks.reading import read_any_task
from kernelwright.bench_tasks.task import Task
from kernelwright.config import Settings
from kernelwright.db.store import Store
from kernelwright.errors import MisuseError, NotFoundError
from kernelwright.events import ignore
from kernelwright.jobs import Target, resolve_target, utc_now
from kernelwright.opening import open_reference
from kernelwright.rl.contrastive.prompt import ContrastivePrompt
from kernelwright.rl.contrastive.reward import Scale
from kernelwright.rl.ids import new_run_id
from kernelwright.rl.run import Run, RunStatus
from kernelwright.rl.training.environment import Place
from kernelwright.rl.training.history import History
from kernelwright.rl.training.wire import task_from_json, task_json
from kernelwright.training.worker import HERE
from kernelwright.verifier.evaluation import TimingKind

__all__ = [
    "Tasks",
    "history_of",
    "new_runs",
    "order_of",
    "places_of",
    "read_tasks",
    "set_statuses",
    "timing_kind",
    "writer_of",
]


@dataclass(frozen=True)
class Tasks:
    """What a stage learns from, and what it is only looked at with."""

    training: tuple[Task, ...]
    held_out: tuple[Task, ...] = ()

    def __post_init__(self) -> None:
        both = {task.id for task in self.training} & {task.id for task in self.held_out}
        sources = {_bare(task.source) for task in self.training}
        for task in self.held_out:
            if task.id in both or _bare(task.source) in sources:
                raise MisuseError(
                    f"task {task.name} is both trained on and held out.", mend="Take it out of one of the two."
                )

    @property
    def all(self) -> tuple[Task, ...]:
        """Both."""
        return (*self.training, *self.held_out)

    def to_json(self) -> dict[str, Any]:
        """JSON; `from_json` reads it back."""
        return {"training": list(map(task_json, self.training)), "held_out": list(map(task_json, self.held_out))}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Tasks:
        """Reads what `to_json` wrote."""
        return cls(tuple(map(task_from_json, data["training"])), tuple(map(task_from_json, data["held_out"])))


def read_tasks(training: Sequence[Path], held_out: Sequence[Path] = ()) -> Tasks:
    """The tasks at these paths; of a folder every ``.py`` file whose name begins with a letter. Each task counts once.

    Raises:
        TaskError: one can't be read.
        MisuseError: a task is on both sides, or a folder has none.
    """
    return Tasks(_read(training), _read(held_out))


def _read(paths: Iterable[Path]) -> tuple[Task, ...]:
    found: dict[str, Task] = {}
    for path in paths:
        files = sorted(f for f in path.glob("*.py") if f.name[0].isalpha()) if path.is_dir() else [path]
        if not files:
            raise MisuseError("the folder has no task.", mend="Give files, or folders with .py files.", path=str(path))
        for file in files:
            task = read_any_task(file)
            found.setdefault(task.id, task)
    return tuple(found.values())


def _bare(source: str) -> str:
    return "\n".join(line.strip() for line in source.splitlines() if line.strip() and not line.lstrip().startswith("#"))


def timing_kind(target: Target) -> TimingKind:
    """Of the times that this target gives."""
    return TimingKind.MEASURED if target.device.kind == "cuda" else TimingKind.MODELLED


def history_of(
    store: Store, task: Task, target: Target, scale: Scale | None = None, before: datetime | None = None
) -> History:
    """What the store knows of a task on a target, or knew `before` a time."""
    return History(store.variants(task.id, target.gpu.name, timing_kind(target), before), scale)


def writer_of(task: Task, target: Target) -> ContrastivePrompt:
    """The prompts of a task. Opens its reference for a moment.

    Raises:
        TaskError: it does not run.
    """
    with open_reference(task, target.limits, ignore, fence=target.device.isolation) as reference:
        graph = reference.capture() if reference.wanted is None else None
        briefing = Briefing(
            task=task,
            signature=reference.signature,
            gpu=target.gpu,
            graph=graph if graph is not None and not graph.problem else None,
        )
    return ContrastivePrompt(briefing)


def order_of(settings: Settings) -> dict[str, Any]:
    """What evaluators are told of this machine's settings; no key of a model is among it."""
    target = resolve_target(settings)  # `auto` is settled once, here
    order = {name: getattr(settings, name) for name in HERE} | {"gpu": target.gpu.name, "device": target.device.kind}
    return {name: str(value) if isinstance(value, Path) else value for name, value in order.items()}


def new_runs(tasks: Tasks) -> dict[str, str]:
    """An id of a run for each task, by the task's id."""
    return {task.id: new_run_id(task.name) for task in tasks.all}


def places_of(
    tasks: Tasks, runs: Mapping[str, str], scales: Mapping[str, Sequence[float]], store: Store, settings: Settings,
    *, stage: str, coder: str, rounds: int,
) -> dict[str, Place]:  # fmt: skip
    """The places of a stage, with the history that each task had when the stage began, and its runs in the store, made where
    they are not there yet.

    Args:
        runs: ids of runs by task.
        scales: of rewards by task: centre and spread.
        rounds: attempts that a run can come to at most.
    """
    target = resolve_target(settings)
    held_out = {task.id for task in tasks.held_out}
    places = {}
    for task in tasks.all:
        run = Run(
            id=runs[task.id],
            task=task,
            strategy=f"train:{stage}",
            coder=coder,
            judge="none",
            device=target.device.kind,
            gpu=target.gpu.name,
            rounds=rounds,
            status=RunStatus.RUNNING,
            created=utc_now(),
            settings={"held_out": task.id in held_out},
        )
        try:
            run = store.run(run.id)
            store.set_status(run.id, RunStatus.RUNNING)
        except NotFoundError:
            store.create_run(run)
        # as the stage began: what it found itself comes in step by step, and other runs must not change what it shows
        history = history_of(store, task, target, Scale(*scales[task.id]), before=run.created)
        places[task.id] = Place(task, run.id, history, grows=task.id not in held_out)
    return places


def set_statuses(store: Store, runs: Iterable[str], status: RunStatus, message: str = "") -> None:
    """Moves all runs of a stage to a status."""
    for run_id in runs:
        store.set_status(run_id, status, message)
