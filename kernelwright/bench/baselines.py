"""Baselines of a suite: what each task takes as eager PyTorch and through torch.compile, on this machine's device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from kernelwright.bench_tasks.task import Task
from kernelwright.db.baselines import Baseline
from kernelwright.db.store import Store
from kernelwright.errors import KernelwrightError, TaskError
from kernelwright.events import Observer
from kernelwright.jobs import Target
from kernelwright.opening import open_reference
from kernelwright.verifier.device_info import device_info
from kernelwright.verifier.evaluation import TimingKind

__all__ = ["NAMES", "TaskBaselines", "baselines_of_task", "not_modelled"]

NAMES = ("eager", "compile", "max-autotune")


@dataclass(frozen=True)
class TaskBaselines:
    """What is known of one task now."""

    name: str
    """In its suite."""
    task_id: str
    found: Mapping[str, Baseline]
    missing: Mapping[str, str]
    """Why the others are not there, one sentence each."""
    fresh: bool
    """Whether something was measured or modelled just now."""


def not_modelled(names: Sequence[str]) -> dict[str, str]:
    """Why baselines can't be had without a GPU."""
    return {
        name: "torch.compile chooses its kernels on the GPU: without one its time is not known, and not guessed."
        for name in names
        if name != "eager"
    }


def baselines_of_task(
    name: str,
    task: Task,
    target: Target,
    names: Sequence[str],
    store: Store,
    *,
    observer: Observer,
    clock: Callable[[], datetime],
    again: bool = False,
    runtime: str = "cuda",
) -> TaskBaselines:
    """Measures the baselines of a task, or models eager PyTorch where there is no GPU, and stores them.

    Those that the store has of this kind, for this GPU and of the same device (its versions too) are taken from there.

    Args:
        name: of the task in its suite.
        names: of `NAMES`.
        again: they are made anew.
        runtime: as `GpuProcess` has it.

    Raises:
        GpuError: the GPU or its driver failed: nothing more can be measured on it.
    """
    info = device_info(target.device)
    kind = TimingKind.MEASURED if target.device.kind == "cuda" else TimingKind.MODELLED
    found = {
        each.name: each
        for each in ([] if again else store.baselines([task.id], kind, target.gpu.name))
        if each.device == info and each.name in names
    }
    missing = not_modelled(names) if kind is TimingKind.MODELLED else {}
    wanted = [each for each in names if each not in found and each not in missing]
    if not wanted:
        return TaskBaselines(name, task.id, found, missing, fresh=False)
    from kernelwright.sandbox.cuda.gpu_process import GpuError

    try:
        times, failed = _times(task, target, wanted, observer, runtime)
    except GpuError:
        raise
    except KernelwrightError as error:
        return TaskBaselines(name, task.id, found, {**missing, **dict.fromkeys(wanted, error.message)}, fresh=True)
    for which, (seconds, low, high, source) in times.items():
        found[which] = Baseline(
            task.id, which, kind, target.gpu.name, seconds, low, high, source, info, clock()
        )  # fmt: skip
        store.add_baseline(task, found[which])
    return TaskBaselines(name, task.id, found, {**missing, **failed}, fresh=True)


_Time = tuple[float, float, float, str]
"""Seconds, the ends of the interval, and where that is from."""


def _times(
    task: Task, target: Target, names: Sequence[str], observer: Observer, runtime: str
) -> tuple[dict[str, _Time], dict[str, str]]:
    """Times by name, and why others are missing."""
    with open_reference(task, target.limits, observer) as reference:
        if target.device.kind != "cuda":
            from kernelwright.verifier.model.eager import eager_time
            from kernelwright.verifier.model.uncertainty import interval_source

            time = eager_time(reference.ops(), target.gpu)
            if not time.seconds:
                raise TaskError("its module does nothing that takes time.", path=task.path)
            return {"eager": (time.seconds, time.seconds_low, time.seconds_high, interval_source(None))}, {}
        from kernelwright.verifier.measured.baselines import measure_baselines
        from kernelwright.verifier.measured.rounds import Plan

        measured = measure_baselines(
            task, reference, target.device, names, limits=target.limits, plan=Plan(budget_seconds=target.timing_seconds),
            observer=observer, runtime=runtime,
        )  # fmt: skip
    source = f"95 % bootstrap interval over {measured.rounds} rounds"
    return {name: (time.value, time.low, time.high, source) for name, time in measured.times.items()}, measured.failed
