"""The main jobs on nouns: search for a kernel, go on with a search, judge a kernel.

The command line and the Python API both call these, so what one does the other does. Each takes its settings, its
store and its observer; none draws or prints.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from kernelwright.bench_tasks.task import Task
from kernelwright.config import Settings
from kernelwright.db.lookup import Kind
from kernelwright.db.store import Store
from kernelwright.errors import KernelwrightError, MisuseError
from kernelwright.events import Note, Observer, StageFinished, StageStarted
from kernelwright.rl.run import Attempt, Run, RunStatus
from kernelwright.sandbox.device import Device, resolve_device
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.process import Limits
from kernelwright.verifier.evaluation import Evaluation
from kernelwright.verifier.model.gpus import Gpu, find_gpu

if TYPE_CHECKING:
    from kernelwright.bench_tasks.graph import Graph
    from kernelwright.sandbox.emulated_module import EmulatedModule
    from kernelwright.sandbox.reference import Reference

__all__ = [
    "Outcome",
    "StoredKernel",
    "Target",
    "emulated_module",
    "open_store",
    "optimize_task",
    "resolve_target",
    "resume_run",
    "stored_kernel",
    "utc_now",
    "verify_task",
]

STRATEGY = "refine"


@dataclass(frozen=True)
class Target:
    """Where kernels run and what they may use."""

    gpu: Gpu
    device: Device
    limits: Limits


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
    """Finds the GPU in the table and the device on this machine.

    Raises:
        NotFoundError: no such GPU.
        ConfigError: the device or the isolation is not available here.
    """
    gpu = find_gpu(settings.gpu)
    device = resolve_device(settings.device, gpu=gpu.name, arch=gpu.arch, isolation=settings.isolation)
    limits = Limits(call_seconds=settings.call_seconds, memory_bytes=settings.memory_bytes)
    # Builders and workers find the cache by this variable: they don't read settings.
    os.environ["KERNELWRIGHT_CACHE"] = str(settings.cache)
    return Target(gpu, device, limits)


def open_store(settings: Settings) -> Store:
    """The store of these settings; a context manager.

    Raises:
        StoreError: the database can't be opened or migrated.
    """
    return Store(settings.database_url)


def optimize_task(
    task: Task, settings: Settings, *, store: Store, observer: Observer, clock: Callable[[], datetime] = utc_now
) -> Outcome:
    """A new search on `task` with the built-in coder and judge.

    Raises:
        TaskError: the reference does not run, or is no function of its inputs.
        LoweringError: the coder can write no part of it.
        KeyboardInterrupt: finished attempts are stored, and the run's status is `interrupted`.
    """
    from kernelwright.rl.ids import new_run_id

    target = resolve_target(settings)
    run = Run(
        id=new_run_id(task.name),
        task=task,
        strategy=STRATEGY,
        coder="builtin",
        judge="roofline",
        device=target.device.kind,
        gpu=target.gpu.name,
        rounds=settings.rounds,
        status=RunStatus.RUNNING,
        created=clock(),
        settings=_kept(settings),
    )
    return _search(run, target, settings, store, observer)


def resume_run(run_id: str, settings: Settings, *, store: Store, observer: Observer) -> Outcome:
    """Goes on with a stored run where it stopped, under the settings it was started with.

    Raises:
        NotFoundError: no such run.
        MisuseError: it is finished.
    """
    run = store.run(run_id)
    if run.status is RunStatus.FINISHED:
        raise MisuseError(
            f"run {run.id} is finished: there is nothing to go on with.", mend=f"See it: kernelwright show {run.id}"
        )
    settings = settings.model_copy(update={**run.settings, "gpu": run.gpu, "device": run.device, "rounds": run.rounds})
    return _search(run, resolve_target(settings), settings, store, observer)


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
    """
    from kernelwright.sandbox.emulated_module import EmulatedModule
    from kernelwright.sandbox.reference import Reference

    device = chosen.evaluation.device
    target = resolve_target(settings.model_copy(update={"gpu": device.gpu, "device": device.kind}))
    with Reference(task, limits=target.limits) as reference:
        init = reference.init(0)
    return EmulatedModule(chosen.kernel, target.device, init, limits=target.limits)


def verify_task(
    task: Task, kernel: Kernel, settings: Settings, *, store: Store | None, observer: Observer
) -> Evaluation:
    """Judges `kernel` on `task`, and stores the evaluation when there is a store.

    Raises:
        TaskError: the reference does not run, or is no function of its inputs.
    """
    from kernelwright.verifier.evaluate import evaluate

    target = resolve_target(settings)
    with _open_reference(task, target, observer) as reference:
        evaluation = evaluate(
            task,
            kernel,
            device=target.device,
            reference=reference,
            gpu=target.gpu,
            limits=target.limits,
            observer=observer,
        )
    if store is not None:
        store.add_evaluation(task, kernel, evaluation)
    return evaluation


def _search(run: Run, target: Target, settings: Settings, store: Store, observer: Observer) -> Outcome:
    from kernelwright.agents.builtin.coder import BuiltinCoder
    from kernelwright.agents.builtin.judge import RooflineJudge
    from kernelwright.rl.refine import search

    with _open_reference(run.task, target, observer) as reference:
        graph = _capture(reference, observer)
        coder = BuiltinCoder(graph, run.task.name, target.gpu.arch, plain_first=run.rounds > 1)
        if coder.stays_in_torch:
            observer(Note("stays in torch: " + ", ".join(coder.stays_in_torch)))
        judge = RooflineJudge(target.gpu, coder.space)
        search(
            run,
            coder=coder,
            judge=judge,
            evaluate=partial(_evaluate, run.task, target, reference),
            store=store,
            checkpoints=store.checkpoints or settings.checkpoints,
            observer=observer,
        )
    return Outcome(store.run(run.id), tuple(store.attempts(run.id)), store.best(run.id))


def _open_reference(task: Task, target: Target, observer: Observer) -> Reference:
    from kernelwright.sandbox.reference import Reference

    started = time.monotonic()
    observer(StageStarted("reference"))
    reference = Reference(task, limits=target.limits)
    observer(StageFinished("reference", "passed", reference.signature.shape_line, time.monotonic() - started))
    return reference


def _capture(reference: Reference, observer: Observer) -> Graph:
    started = time.monotonic()
    observer(StageStarted("capture"))
    graph = reference.capture()
    observer(StageFinished("capture", "passed", f"{len(graph.nodes)} operations", time.monotonic() - started))
    return graph


def _evaluate(task: Task, target: Target, reference: Reference, kernel: Kernel, observer: Observer) -> Evaluation:
    from kernelwright.verifier.evaluate import evaluate

    return evaluate(
        task, kernel, device=target.device, reference=reference, gpu=target.gpu, limits=target.limits, observer=observer
    )


def _kept(settings: Settings) -> dict[str, Any]:
    """What a resumed run must find as it was."""
    return {
        "isolation": settings.isolation,
        "call_seconds": settings.call_seconds,
        "memory_bytes": settings.memory_bytes,
    }
