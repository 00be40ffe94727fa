"""The stages of training as jobs: begun in a folder, gone on with from it. The command line calls these."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernelwright.config import Settings
from kernelwright.db.store import Store
from kernelwright.errors import KernelwrightError, MisuseError
from kernelwright.jobs import resolve_target, utc_now
from kernelwright.rl.contrastive.prompt import PromptWriter
from kernelwright.rl.run import RunStatus
from kernelwright.rl.training.environment import Environment
from kernelwright.rl.training.extra import require_extra
from kernelwright.rl.training.folder import Folder
from kernelwright.rl.training.models import Loaded
from kernelwright.rl.training.pool import EvaluationPool
from kernelwright.rl.training.progress import StopRequest, Watcher, stop_politely
from kernelwright.rl.training.rows import Row, reply_of, rows_of_file, successes, write_rows
from kernelwright.rl.training.settings import GrpoSettings, SelfSettings, SftSettings, StageSettings
from kernelwright.training.opening import (
    Tasks,
    history_of,
    new_runs,
    order_of,
    places_of,
    set_statuses,
    writer_of,
)
from kernelwright.training.worker import WORKER

__all__ = ["Asked", "Ended", "begin", "go_on"]

_log = logging.getLogger(__name__)

_SETTINGS: Mapping[str, type[StageSettings]] = {"sft": SftSettings, "self": SelfSettings, "grpo": GrpoSettings}


@dataclass(frozen=True)
class Asked:
    """What a new stage is asked for."""

    stage: str
    """`sft`, `self` or `grpo`."""
    model: str
    """Path of a model, or with `hub` a name on the hub."""
    settings: StageSettings
    tasks: Tasks
    data: Path | None = None
    """Rows for `sft`; without it they are kernels of the store that passed on the tasks."""
    hub: bool = False
    workers: int = 1
    """Evaluators at a time."""
    evaluation_seconds: float = 900.0
    """Wall time that one evaluation may take."""

    def to_json(self) -> dict[str, Any]:
        """JSON; `from_json` reads it back."""
        return {
            "stage": self.stage,
            "model": self.model,
            "settings": self.settings.model_dump(),
            "tasks": self.tasks.to_json(),
            "data": None if self.data is None else str(self.data),
            "hub": self.hub,
            "workers": self.workers,
            "evaluation_seconds": self.evaluation_seconds,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Asked:
        """Reads what `to_json` wrote."""
        return cls(
            stage=data["stage"],
            model=data["model"],
            settings=_SETTINGS[data["stage"]].model_validate(data["settings"]),
            tasks=Tasks.from_json(data["tasks"]),
            data=None if data["data"] is None else Path(data["data"]),
            hub=data["hub"],
            workers=data["workers"],
            evaluation_seconds=data["evaluation_seconds"],
        )


@dataclass(frozen=True)
class Ended:
    """A stage that ended or was stopped."""

    stage: str
    folder: Path
    finished: bool
    """Whether it came to its end; else it can be gone on with."""
    model: Path | None
    """Where the model is, once it is finished."""
    runs: Mapping[str, str] = field(default_factory=dict)
    """Ids of the runs that hold what was judged, by the task's id."""
    log: Sequence[Mapping[str, Any]] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "stage": self.stage,
            "out": str(self.folder),
            "status": "finished" if self.finished else "interrupted",
            "model": None if self.model is None else str(self.model),
            "runs": dict(self.runs),
            "log": list(self.log),
        }


def begin(asked: Asked, out: Path, settings: Settings, *, store: Store, watcher: Watcher) -> Ended:
    """A new stage in the folder `out`.

    Raises:
        ConfigError: the extra is not installed, the model can't be loaded, or settings don't fit.
        MisuseError: the folder is in use.
        TaskError: a task does not run.
        SandboxError: evaluators are broken; what was done is saved.
    """
    require_extra(hub=asked.hub)
    kept = asked.to_json()
    if asked.stage != "sft":
        target = resolve_target(settings)
        scales = {task.id: history_of(store, task, target).scale for task in asked.tasks.all}
        kept |= {
            "runs": new_runs(asked.tasks),
            "scales": {task_id: [scale.centre, scale.spread] for task_id, scale in scales.items()},
            "device": target.device.kind,
            "gpu": target.gpu.name,
        }
    folder = Folder.create(out, kept)
    try:
        return _work(folder, settings, store, watcher)
    except MisuseError:  # what was asked can't be done; anything else may pass, and can be gone on with
        folder.discard_if_unused()
        raise


def go_on(stage: str, out: Path, settings: Settings, *, store: Store, watcher: Watcher) -> Ended:
    """Goes on with the stage in `out` from its newest whole checkpoint, under its own settings.

    Raises:
        NotFoundError: there is none.
        MisuseError: it is finished, or another process works on it.
    """
    folder = Folder.open(out, stage)
    require_extra(hub=bool(folder.asked.get("hub")))
    if folder.finished:
        raise MisuseError(f"the stage in {out} is finished.", mend=f"Its model is in {folder.model}.")
    asked = folder.asked
    if "gpu" in asked:
        settings = settings.model_copy(update={"gpu": asked["gpu"], "device": asked["device"]})
    return _work(folder, settings, store, watcher)


def _work(folder: Folder, settings: Settings, store: Store, watcher: Watcher) -> Ended:
    asked = Asked.from_json(folder.asked)
    runs: dict[str, str] = folder.asked.get("runs", {})
    with folder.held(), stop_politely() as stop:
        if asked.stage == "sft":
            ended = _sft(asked, folder, settings, store, stop, watcher)
        else:
            ended = _sampled(asked, folder, settings, store, stop, watcher)
        result = Ended(asked.stage, folder.path, ended, folder.model if ended else None, runs, tuple(folder.read_log()))
        if ended:
            folder.finish({"model": str(folder.model)})
    return result


def _load(asked: Asked) -> Loaded:
    """The model with fresh adapters, drawn from the seed."""
    from kernelwright.rl.training.models import load_model, prepare

    return prepare(load_model(asked.model, hub=asked.hub), asked.settings.lora, asked.settings.seed)


def _sft(asked: Asked, folder: Folder, settings: Settings, store: Store, stop: StopRequest, watcher: Watcher) -> bool:
    from kernelwright.rl.training.sft import train_sft

    assert isinstance(asked.settings, SftSettings)
    kept = folder.path / "rows.jsonl"
    if not kept.exists():  # the store may have grown before this is gone on with
        write_rows(kept, _rows(asked, settings, store))
    rows, _ = rows_of_file(kept)
    return train_sft(_load(asked), rows, asked.settings, folder, stop=stop, watcher=watcher)


def _rows(asked: Asked, settings: Settings, store: Store) -> list[Row]:
    """What is learned: from the file that was given, or from the store.

    Raises:
        MisuseError: there is nothing.
    """
    assert isinstance(asked.settings, SftSettings)
    if asked.data is not None:
        rows, left_out = rows_of_file(asked.data, asked.tasks.held_out)
        if left_out:
            _log.warning("%d rows of %s are about held-out tasks, and are left out", left_out, asked.data)
        if not rows:
            raise MisuseError(
                "no row is left to learn from" + (f": {left_out} are about held-out tasks." if left_out else "."),
                path=str(asked.data),
            )
        return rows
    target = resolve_target(settings)
    rows = []
    for task in asked.tasks.training:
        found = successes(history_of(store, task, target).variants, asked.settings.a_task)
        if found:
            prompt = writer_of(task, target).first(())
            rows += [Row(prompt, reply_of(variant.source), task.id) for variant in found]
    if not rows:
        raise MisuseError(
            "the store has no kernel that passed on these tasks.",
            mend="Make some with `kernelwright optimize`, or give rows with --data.",
        )
    return rows


def _sampled(
    asked: Asked, folder: Folder, settings: Settings, store: Store, stop: StopRequest, watcher: Watcher
) -> bool:
    runs: dict[str, str] = folder.asked["runs"]
    loaded = _load(asked)
    target = resolve_target(settings)
    writers: dict[str, PromptWriter] = {task.id: writer_of(task, target) for task in asked.tasks.all}
    places = places_of(
        asked.tasks, runs, folder.asked["scales"], store, settings, stage=asked.stage, coder=loaded.name,
        rounds=_most_attempts(asked.settings),
    )  # fmt: skip
    with (
        _statuses(store, tuple(runs.values())) as finished,
        EvaluationPool(WORKER, order_of(settings), size=asked.workers, seconds=asked.evaluation_seconds) as pool,
    ):
        found = folder.latest()
        done = 0 if found is None else found[1]["step"]
        environment = Environment(pool, store, places, f"trained:{loaded.name}", utc_now, done=done)
        training = [task.id for task in asked.tasks.training]
        held_out = [task.id for task in asked.tasks.held_out]
        if isinstance(asked.settings, SelfSettings):
            from kernelwright.rl.training.selftrain import train_self

            ended = train_self(
                loaded, environment, writers, asked.settings, folder, training=training, held_out=held_out, stop=stop,
                watcher=watcher,
            )  # fmt: skip
        else:
            from kernelwright.rl.training.grpo import train_grpo

            assert isinstance(asked.settings, GrpoSettings)
            ended = train_grpo(
                loaded, environment, writers, asked.settings, folder, training=training, held_out=held_out, stop=stop,
                watcher=watcher,
            )  # fmt: skip
        if ended:
            finished()
    return ended


def _most_attempts(settings: StageSettings) -> int:
    if isinstance(settings, SelfSettings):
        return max(settings.rounds * settings.samples, (1 + settings.rounds) * settings.held_out_samples)
    assert isinstance(settings, GrpoSettings)
    looks = 2 + settings.steps // settings.held_out_every
    return max(settings.steps * settings.tasks * settings.group, looks * settings.held_out_samples * settings.turns)


@contextmanager
def _statuses(store: Store, runs: Sequence[str]) -> Iterator[Callable[[], None]]:
    """Sets the status of the runs by how the block ends: interrupted, unless the function it gets was called."""
    ended: list[bool] = []
    try:
        yield lambda: ended.append(True)
    except KernelwrightError as error:
        set_statuses(store, runs, RunStatus.FAILED, str(error))
        raise
    except BaseException:
        set_statuses(store, runs, RunStatus.INTERRUPTED, "Stopped at once; the last checkpoint holds.")
        raise
    if ended:
        set_statuses(store, runs, RunStatus.FINISHED, "The stage of training ended.")
    else:
        set_statuses(store, runs, RunStatus.INTERRUPTED, "Stopped after a step.")
