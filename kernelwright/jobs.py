"""The main jobs on nouns: search for a kernel, go on with a search, judge a kernel.

The command line and the Python API both call these, so what one does the other does. Each takes its settings, its
store and its observer; none draws or prints.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from kernelwright.bench_tasks.task import Task, TensorSpec
from kernelwright.config import ENVIRONMENT_PREFIX, Settings
from kernelwright.db.lookup import Kind
from kernelwright.db.store import Store
from kernelwright.errors import ConfigError, KernelwrightError, MisuseError, NotFoundError, StoreError
from kernelwright.events import Observer
from kernelwright.policy_weights import kept_weights, with_weights
from kernelwright.rl.run import Attempt, Run, RunStatus
from kernelwright.rl.strategies import STRATEGIES, strategy_named
from kernelwright.sandbox.device import Device, gpu_here, gpu_problem, resolve_device
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.process import Limits
from kernelwright.under_way import alone, heard
from kernelwright.verifier.evaluation import Evaluation, Timing, TimingKind
from kernelwright.verifier.model.calibration import calibrated_gpu
from kernelwright.verifier.model.gpus import Gpu, find_gpu
from kernelwright.words import one_line
from kernelwright.writers import (
    BUILTIN,
    NO_TRAFFIC,
    Traffic,
    author_names,
    chosen_names,
    exemplars_for,
    models_of,
    writers_of,
)

if TYPE_CHECKING:
    from kernelwright.agents.llm.briefing import StartingPoint
    from kernelwright.rl.strategies.evolve import Evolution
    from kernelwright.sandbox.emulated_module import EmulatedModule
    from kernelwright.sandbox.reference import Reference
    from kernelwright.sandbox.spares import Spares

__all__ = [
    "Outcome",
    "StoredKernel",
    "Target",
    "emulated_module",
    "evaluate_opened",
    "open_store",
    "optimize_task",
    "queue_search",
    "resolve_target",
    "resume_run",
    "stored_kernel",
    "utc_now",
    "verify_task",
]


@dataclass(frozen=True)
class Target:
    """Where kernels run and what they may use."""

    gpu: Gpu
    device: Device
    limits: Limits
    timing_seconds: float = 20.0
    """What measuring one kernel on a GPU may take."""


@dataclass(frozen=True)
class Outcome:
    """A search that ended: the run as stored, its attempts in order, the fastest that passed."""

    run: Run
    attempts: tuple[Attempt, ...]
    best: Attempt | None


@dataclass(frozen=True)
class StoredKernel:
    """A kernel from the store, with the evaluation that speaks for it."""

    task: Task
    kernel: Kernel
    evaluation: Evaluation


def utc_now() -> datetime:
    """The clock of the jobs."""
    return datetime.now(UTC)


def resolve_target(settings: Settings) -> Target:
    """Finds the GPU in the table, calibrated where it has been, and the device on this machine.

    Raises:
        NotFoundError: no such GPU.
        ConfigError: the device or the isolation is not available here, or a calibration can't be read.
    """
    kind, gpu = _device_kind(settings)
    gpu = calibrated_gpu(gpu.name, settings.data)
    device = resolve_device(kind, gpu=gpu.name, arch=gpu.arch, isolation=settings.isolation)
    limits = Limits(call_seconds=settings.call_seconds, memory_bytes=settings.memory_bytes)
    # Builders and workers find the cache by this variable: they don't read settings.
    os.environ["KERNELWRIGHT_CACHE"] = str(settings.cache)
    return Target(gpu, device, limits, settings.timing_seconds)


def _device_kind(settings: Settings) -> tuple[str, Gpu]:
    """`emulator` or `cuda`, and the GPU: the one that is here where kernels run on it.

    `auto` takes the machine's GPU if it can be used, is in the table and no other was named.
    """
    named = "gpu" in settings.model_fields_set
    if settings.device == "emulator":
        return "emulator", find_gpu(settings.gpu)
    here = gpu_here()
    try:
        found = find_gpu(here) if here else None
    except NotFoundError:
        found = None
    wanted = find_gpu(settings.gpu) if named or found is None else found
    if settings.device == "auto":
        return ("cuda" if found is not None and wanted == found else "emulator"), wanted
    if found is None and here and not named:
        raise ConfigError(
            f"this machine's GPU is called {here!r}, which is not in the table.",
            mend="Name the one it is most like with --gpu (see `kernelwright gpus`); its architecture must be the same.",
        )
    if problem := gpu_problem():
        raise ConfigError(
            f"device cuda was asked for, but {problem}.", mend="Use --device emulator, which needs no GPU."
        )
    return "cuda", wanted


def open_store(settings: Settings, *, to_read: bool = False) -> Store:
    """The store of these settings; a context manager.

    Args:
        to_read: it is only read, so a database that was named and is not there is an error and is not made.

    Raises:
        NotFoundError: `to_read`, and the file that the settings name is not there.
        ConfigError: the place that the settings name can't be opened or written.
        StoreError: the default place can't be.
    """
    file = settings.database_file
    if to_read and settings.database and file is not None and not file.exists():
        raise NotFoundError(
            f"there is no store at {file}.", mend="Check `database` in the settings, or KERNELWRIGHT_DATABASE."
        )
    try:
        return Store(settings.database_url)
    except StoreError as error:
        if not settings.place_given:
            raise
        key = "database" if settings.database else "data"
        mend = f"{error.mend} It is set by `{key}` in the settings, or {ENVIRONMENT_PREFIX}{key.upper()}."
        raise ConfigError(error.message, mend=mend.lstrip()) from error


def optimize_task(
    task: Task,
    settings: Settings,
    *,
    store: Store,
    observer: Observer,
    start: StartingPoint | None = None,
    run_id: str | None = None,
    fenced: bool = False,
    traffic: Traffic = NO_TRAFFIC,
    clock: Callable[[], datetime] = utc_now,
) -> Outcome:
    """A new search on `task` with the coder, judge and strategy of the settings.

    Args:
        run_id: what the run is to be called, for who must know it before it is stored; made from the task's name by default.
        fenced: whether the task may be a stranger's: its reference is then fenced in as kernels are, now and on going on.
        start: code that the first kernels are translated from; it needs a language model.
        traffic: where exchanges with model servers are kept or taken from.

    Raises:
        TaskError: the reference does not run, or is no function of its inputs.
        LoweringError: the built-in coder is to write, and can write no part of it.
        ConfigError: a model that can't be used.
        ModelError: a model gave no reply, after all retries; the run can be gone on with.
        KeyboardInterrupt: finished attempts are stored, and the run's status is `interrupted`.
    """
    if start is not None and not settings.model:
        raise MisuseError(
            "the built-in coder writes kernels from the reference and can't translate code.",
            mend="Name a language model: --model openai:NAME, anthropic:NAME or http://host:port/v1#NAME.",
        )
    target = resolve_target(settings)
    run = _planned(task, settings, target, store, start, run_id, fenced, traffic, clock)
    return _search(run, target, settings, store, observer, traffic, clock)


def queue_search(
    task: Task, settings: Settings, *, store: Store, fenced: bool = True, clock: Callable[[], datetime] = utc_now
) -> Run:
    """Stores a search that a worker is to make, as `optimize_task` would; `resume_run` begins it.

    Args:
        fenced: as `optimize_task` takes it; what is queued came from somewhere else.

    Raises:
        ConfigError: a model, a device or a fence that can't be used.
    """
    target = resolve_target(settings)
    run = _planned(task, settings, target, store, None, None, fenced, NO_TRAFFIC, clock)
    run = replace(run, status=RunStatus.QUEUED)
    store.create_run(run)
    return run


def _planned(
    task: Task,
    settings: Settings,
    target: Target,
    store: Store,
    start: StartingPoint | None,
    run_id: str | None,
    fenced: bool,
    traffic: Traffic,
    clock: Callable[[], datetime],
) -> Run:
    """A run as it is stored when it begins."""
    from kernelwright.rl.ids import new_run_id

    coder, judge = chosen_names(settings)
    kept = _kept(settings) | kept_weights(settings)
    if start is not None:
        kept["start"] = {"source": start.source, "language": start.language}
    if fenced:
        kept["fenced"] = True
    if len(authors := author_names(settings)) > 1:
        kept["authors"] = list(authors)
    if coder != BUILTIN:
        kept["exemplars"] = exemplars_for(task, target.gpu, store, settings.exemplars, traffic)
    if target.gpu.calibration_digest:
        kept[_CALIBRATION] = target.gpu.calibration_digest
    return Run(
        id=run_id or new_run_id(task.name),
        task=task,
        strategy=settings.strategy,
        coder=coder,
        judge=judge,
        device=target.device.kind,
        gpu=target.gpu.name,
        rounds=settings.rounds,
        status=RunStatus.RUNNING,
        created=clock(),
        settings=kept,
    )


def resume_run(
    run_id: str,
    settings: Settings,
    *,
    store: Store,
    observer: Observer,
    budget: Decimal | None = None,
    patience: float = 0.0,
    traffic: Traffic = NO_TRAFFIC,
    clock: Callable[[], datetime] = utc_now,
) -> Outcome:
    """Goes on with a stored run where it stopped, under its own settings but for the `budget`, if one is given.

    Args:
        patience: seconds to wait for another process that works on it.

    Raises:
        NotFoundError: no such run.
        MisuseError: it is finished, its kernels were submitted, another process works on it, or it shares an archive and the
            calibration has changed.
        ConfigError: the weights of its sampler are gone, or others now.
    """
    run = store.run(run_id)
    if run.status is RunStatus.FINISHED:
        raise MisuseError(
            f"run {run.id} is finished: there is nothing to go on with.", mend=f"See it: kernelwright show {run.id}"
        )
    if run.strategy.startswith("train:"):
        raise MisuseError(
            f"run {run.id} holds what a model wrote while it was trained.",
            mend=f"Go on with the training: kernelwright {run.strategy.replace(':', ' ')} --resume DIR",
        )
    if run.strategy not in STRATEGIES:
        raise MisuseError(
            f"the kernels of run {run.id} were submitted by {one_line(run.coder, 80)}: nobody here can write the next.",
            mend=f"Submit it with `kernelwright {run.strategy}`, or see the run: kernelwright show {run.id}",
        )
    kept = {name: value for name, value in run.settings.items() if name in Settings.model_fields}
    kept["budget"] = budget if budget is not None else kept.get("budget") and Decimal(kept["budget"])
    settings = settings.model_copy(update={**kept, "gpu": run.gpu, "device": run.device, "rounds": run.rounds})
    settings = with_weights(settings, run.settings)
    target = resolve_target(settings)
    if _shares(run, settings) and run.settings.get(_CALIBRATION, "") != target.gpu.calibration_digest:
        raise MisuseError(
            f"run {run.id} was begun under another calibration of {run.gpu}: its times and those to come can't be compared, "
            "and it feeds a shared archive.",
            mend="Begin a new run.",
        )
    return _search(run, target, settings, store, observer, traffic, clock, patience)


def stored_kernel(store: Store, identifier: str) -> StoredKernel:
    """The kernel that an id names: a run's best, a kernel with its best evaluation, or the one of an evaluation.

    Raises:
        NotFoundError: nothing has this id, or several things begin with it.
        KernelwrightError: no attempt of that run passed, or that kernel was never judged.
    """
    found = store.find(identifier, (Kind.RUN, Kind.KERNEL, Kind.EVALUATION))
    if found.kind is Kind.RUN:
        best = store.best(found.id)
        if best is None:
            raise KernelwrightError(
                f"no attempt of run {found.id} passed.",
                mend=f"Choose one by its kernel's id: kernelwright show {found.id}",
            )
        return StoredKernel(store.run(found.id).task, best.kernel, best.evaluation)
    if found.kind is Kind.EVALUATION:
        evaluation = store.evaluation(found.id)
    else:
        evaluations = store.evaluations_of(found.id)
        if not evaluations:
            raise KernelwrightError(
                f"kernel {found.id} was never judged.", mend="Judge it: kernelwright verify TASK KERNEL"
            )
        evaluation = min(reversed(evaluations), key=lambda e: e.timing.seconds if e.timing else float("inf"))
    return StoredKernel(store.task(evaluation.task_id), store.kernel(evaluation.kernel_id), evaluation)


def emulated_module(task: Task, chosen: Attempt, settings: Settings) -> EmulatedModule:
    """The kernel of `chosen` as a torch module with the weights of `task`, on the device it was judged on.

    Raises:
        TaskError: the task does not run any more.
        SandboxError: the kernel does not load.
        MisuseError: from calls of the module with other shapes or dtypes than it was made for.
    """
    from kernelwright.sandbox.emulated_module import EmulatedModule
    from kernelwright.sandbox.reference import Reference

    device = chosen.evaluation.device
    target = resolve_target(settings.model_copy(update={"gpu": device.gpu, "device": "emulator"}))
    with Reference(task, limits=target.limits) as reference:
        init, made_for = reference.init(0), reference.signature.inputs
    module = EmulatedModule(chosen.kernel, target.device, init, limits=target.limits)
    module.register_forward_pre_hook(partial(_check_inputs, made_for))
    return module


def verify_task(
    task: Task, kernel: Kernel, settings: Settings, *, store: Store | None, observer: Observer
) -> Evaluation:
    """Judges `kernel` on `task`, and stores the evaluation when there is a store.

    Raises:
        TaskError: the reference does not run, or is no function of its inputs.
    """
    from kernelwright.opening import open_reference
    from kernelwright.sandbox.spares import Spares

    target = resolve_target(settings)
    with (
        Spares(target.device, target.limits, last=True) as spares,  # torch is imported there while the reference opens
        open_reference(task, target.limits, observer) as reference,
    ):
        evaluation = evaluate_opened(
            task, target, reference, spares, kernel, observer, baselines=settings.baselines, tools=settings.gpu_tools
        )
    if store is not None:
        store.add_evaluation(task, kernel, evaluation)
    return evaluation


def _search(
    run: Run,
    target: Target,
    settings: Settings,
    store: Store,
    observer: Observer,
    traffic: Traffic,
    clock: Callable[[], datetime],
    patience: float = 0.0,
) -> Outcome:
    from kernelwright.opening import open_reference
    from kernelwright.rl.search import search
    from kernelwright.sandbox.spares import Spares

    fence = target.device.isolation if run.settings.get("fenced") else None
    observer = heard(run, store, observer)
    with (
        alone(run, store, patience),
        models_of(run, settings, store, observer, traffic=traffic, clock=clock) as models,
        Spares(target.device, target.limits) as spares,
        open_reference(run.task, target.limits, observer, fence=fence) as reference,
    ):
        writers = writers_of(run, settings, target.gpu, reference, models, observer)
        evolution = _evolution(run, target.gpu, settings, store, writers.authors)
        try:
            search(
                run,
                strategy=strategy_named(run.strategy, settings.candidates, evolution, show_all=writers.learns),
                coder=writers.coder,
                judge=writers.judge,
                ranker=writers.ranker,
                evaluate=partial(evaluate_opened, run.task, target, reference, spares),
                cascade=bool(settings.cascade),
                store=store,
                checkpoints=store.checkpoints or settings.checkpoints,
                observer=observer,
            )
        finally:
            if evolution is not None:  # a plan takes in what came before it; nobody plans after the last batch
                evolution.archive.absorb(store.attempts(run.id))
    return Outcome(store.run(run.id), tuple(store.attempts(run.id)), store.best(run.id))


def _shares(run: Run, settings: Settings) -> bool:
    """Whether it draws from a shared archive, with modelled times."""
    return run.strategy == "evolve" and settings.archive == "shared" and run.device != "cuda"


def _evolution(run: Run, gpu: Gpu, settings: Settings, store: Store, authors: tuple[str, ...]) -> Evolution | None:
    """What the strategy `evolve` works on; None for the others."""
    if run.strategy != "evolve":
        return None
    from kernelwright.db.archive import shared_name
    from kernelwright.rl.archive.islands import ArchiveSettings
    from kernelwright.rl.strategies.evolve import Evolution

    kind = TimingKind.MEASURED if run.device == "cuda" else TimingKind.MODELLED
    # measured times do not come from the model
    digest = gpu.calibration_digest if kind is TimingKind.MODELLED else ""
    name = shared_name(digest) if settings.archive == "shared" else run.id
    archive = store.archive(run.task, run.gpu, kind, name, ArchiveSettings(islands=settings.islands))
    return Evolution(archive, run.id, settings.seed or run.id, authors)


def evaluate_opened(
    task: Task, target: Target, reference: Reference, spares: Spares, kernel: Kernel, observer: Observer,
    *, baselines: tuple[str, ...] = ("eager",), tools: tuple[str, ...] = (), rival: Timing | None = None,
) -> Evaluation:  # fmt: skip
    """Judges one of several kernels of a task whose reference is open.

    Args:
        spares: where processes for kernels come from.
        baselines: what it is measured against on a GPU.
        tools: what it is run under on a GPU besides.
        rival: the best time so far, where a kernel that can't beat it need not be judged to the end.
    """
    from kernelwright.verifier.evaluate import evaluate
    from kernelwright.verifier.measured.gpu_stages import GpuOptions
    from kernelwright.verifier.measured.rounds import Plan

    return evaluate(
        task,
        kernel,
        device=target.device,
        reference=reference,
        gpu=target.gpu,
        limits=target.limits,
        observer=observer,
        start=spares.take,
        on_gpu=GpuOptions(
            Plan(budget_seconds=target.timing_seconds),
            ("eager", *(b for b in baselines if b != "eager")),
            tools=tools,
        ),
        rival=rival,
    )


def _check_inputs(made_for: Sequence[TensorSpec], _module: object, inputs: tuple[Any, ...]) -> None:
    from kernelwright.sandbox.trees import tensors_of

    def words(shapes: Sequence[tuple[tuple[int, ...], str]]) -> str:
        return ", ".join(f"{shape} {dtype}" for shape, dtype in shapes) or "no tensor"

    given = [(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")) for tensor in tensors_of(inputs)]
    wanted = [(spec.shape, spec.dtype) for spec in made_for]
    if given != wanted:
        raise MisuseError(
            f"this module was made for inputs {words(wanted)}; it was called with {words(given)}.",
            mend="Call kernelwright.optimize with inputs like these to get a module for them.",
        )


_CALIBRATION = "calibration"
"""In the settings of a stored run: `Gpu.calibration_digest`, absent where that is empty."""
_KEPT = (
    "isolation", "call_seconds", "memory_bytes", "candidates", "islands", "archive", "seed", "sampler", "cascade", "builtin_first",
    "reasoning", "temperature",
)  # fmt: skip
"""Settings that a resumed run must find as they were, beside those that a run has fields for."""


def _kept(settings: Settings) -> dict[str, Any]:
    return {
        **{name: getattr(settings, name) for name in _KEPT},
        "budget": None if settings.budget is None else str(settings.budget),
    }
