"""Training the policy: landscapes that ship, of a file, or of the store's attempts; whether the shipped weights come out again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelwright.agents.builtin.coder import BuiltinCoder
from kernelwright.agents.builtin.policy.candidates import key_of
from kernelwright.agents.builtin.policy.facts import choice_facts, kernel_facts
from kernelwright.agents.builtin.policy.net import Policy, shipped_policy
from kernelwright.agents.builtin.policy.observing import observed
from kernelwright.bench_tasks.task import Task
from kernelwright.config import Settings
from kernelwright.db.store import Store
from kernelwright.errors import ConfigError, KernelwrightError
from kernelwright.events import ignore
from kernelwright.opening import capture_graph, open_reference
from kernelwright.rl.policy.landscape import KernelLandscape, Landscape, Priced, read_landscapes, shipped_landscapes
from kernelwright.rl.policy.training import Progress, Recipe, Trained, agreement, train
from kernelwright.rl.run import Attempt
from kernelwright.sandbox.process import Limits
from kernelwright.verifier.model.gpus import all_gpus, find_gpu

__all__ = ["TOLERANCE", "Training", "check_policy", "stored_landscapes", "train_policy"]

TOLERANCE = 0.05
"""Largest difference of a weight, relative to the largest of its layer, up to which the shipped weights count as reproduced: on one
machine they are the same to the bit; processors and releases of torch round sums differently, and hundreds of steps carry that on."""
_MOST_RUNS = 100_000


@dataclass(frozen=True)
class Training:
    """What training came to."""

    trained: Trained
    landscapes: tuple[Landscape, ...]
    recipe: Recipe
    seconds: float
    out: Path | None
    """Where the weights were written; None where they were only checked."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object for ``--json``."""
        policy = self.trained.policy
        return {
            "out": None if self.out is None else str(self.out),
            "digest": policy.digest,
            "tasks": len(self.landscapes),
            "choices": sum(len(kernel.priced) for each in self.landscapes for kernel in each.kernels),
            "seed": self.recipe.seed,
            "epochs": self.recipe.epochs,
            "mean_log_speedup": self.trained.reward,
            "favourite_log_speedup": self.trained.favourite,
            "best_log_speedup": self.trained.best_reward,
            "correction": {name: policy.about[name] for name in ("length", "spread", "noise")},
            "seconds": self.seconds,
        }


def train_policy(
    landscapes: Sequence[Landscape] | None, recipe: Recipe, out: Path | None, progress: Progress | None = None
) -> Training:
    """Trains a policy and writes its weights.

    Args:
        landscapes: those of the package by default.
        out: file for the weights; None writes none.

    Raises:
        ConfigError: nothing to train on, or the file can't be written.
    """
    started = time.monotonic()
    found = tuple(shipped_landscapes() if landscapes is None else landscapes)
    trained = train(found, all_gpus(), recipe, progress)
    if out is not None:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            trained.policy.save(out)
        except OSError as error:
            raise ConfigError(f"the weights can't be written: {error.strerror}.", path=str(out)) from None
    return Training(trained, found, recipe, time.monotonic() - started, out)


def check_policy(progress: Progress | None = None) -> tuple[Training, float]:
    """Trains the shipped policy again, and the largest relative difference of a weight (see `TOLERANCE`)."""
    shipped: Policy = shipped_policy()
    recipe = Recipe(seed=int(shipped.about["seed"]), epochs=int(shipped.about["epochs"]))
    training = train_policy(None, recipe, None, progress)
    return training, agreement(training.trained.policy, shipped)


def landscapes_at(path: Path) -> tuple[Landscape, ...]:
    """The landscapes of a file or folder.

    Raises:
        ConfigError: nothing usable is there.
    """
    if not path.exists():
        raise ConfigError("there is no such file or folder.", path=str(path))
    return read_landscapes(path)


def stored_landscapes(
    store: Store, settings: Settings, told: Callable[[str], None] = lambda _: None
) -> tuple[Landscape, ...]:
    """What the store's runs say about the built-in coder's choices: one landscape a task and GPU.

    Every task is opened once in a process of its own, since a stored attempt does not say what its kernels' loops are. Only
    modelled times are taken, with the time of each kernel; a run that another version of the templates made may have parameters
    that this one does not know: its attempts are passed over.

    Raises:
        ConfigError: the store has nothing of the kind.
    """
    attempts: dict[tuple[str, str], list[Attempt]] = {}
    tasks: dict[str, Task] = {}
    for run in store.runs(limit=_MOST_RUNS):
        own = [a for a in store.attempts(run.id) if a.kernel.author == BuiltinCoder.name]
        if own:
            attempts.setdefault((run.task_id, run.gpu), []).extend(own)
            tasks.setdefault(run.task_id, store.task(run.task_id))
    found = []
    for (task_id, gpu), own in sorted(attempts.items()):
        task = tasks[task_id]
        try:
            landscape = _landscape(task, gpu, own, settings)
        except KernelwrightError as error:
            told(f"{task.name}: passed over: {error.message}")
            continue
        if landscape is None:
            told(f"{task.name}: passed over: no attempt that says what each kernel takes")
        else:
            found.append(landscape)
    if not found:
        raise ConfigError(
            "the store has no attempts of the built-in coder to learn from.",
            mend="Make some (kernelwright bench run core), or leave --stored out and train on what ships.",
        )
    return tuple(found)


def _landscape(task: Task, gpu_name: str, attempts: Sequence[Attempt], settings: Settings) -> Landscape | None:
    gpu = find_gpu(gpu_name)
    limits = Limits(call_seconds=settings.call_seconds, memory_bytes=settings.memory_bytes)
    with open_reference(task, limits, ignore) as reference:
        graph = capture_graph(reference, ignore)
    coder = BuiltinCoder(graph, task.name, arch=gpu.arch, sms=gpu.sms)
    said = [o for a in attempts if (o := observed(a.kernel, a.evaluation, coder.defaults)) is not None]
    kernels = []
    for kernel in coder.kernels:
        first = dict(kernel.defaults())
        seconds: dict[tuple[tuple[str, str], ...], float] = {}
        knobs = {key_of(first): first}
        for each in said:
            own = dict(each.knobs[kernel.name])
            if not each.by_kernel or not kernel.legal(own):
                continue
            knobs.setdefault(key_of(own), own)
            seconds[key_of(own)] = each.by_kernel[kernel.name]
        known = [
            Priced(choice_facts(own, coder.generate(kernel, own)), {gpu.name: seconds[key]})
            for key, own in knobs.items()
            if key in seconds
        ]
        if not known:
            return None
        kernels.append(KernelLandscape(kernel_facts(kernel), tuple(known), whole=False))
    return Landscape(task.name, "", tuple(kernels)) if kernels else None
