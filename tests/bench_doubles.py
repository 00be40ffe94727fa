"""A run of a suite with two tasks, as the store holds it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from search_doubles import EPOCH, TASK

from kernelwright.bench_tasks.suite import Scale
from kernelwright.bench_tasks.task import Task
from kernelwright.db.baselines import Baseline
from kernelwright.db.bench import BenchItem, BenchRun, BenchStatus
from kernelwright.verifier.evaluation import DeviceInfo, TimingKind

OTHER = replace(TASK, name="relu", source="class Model: ...  # another\n", path=None, attachments={})
BENCH = BenchRun(
    id="core-7k3f9q",
    suite="core",
    suite_path="/suites/core",
    digest="0123456789abcdef",
    suite_size=5,
    scale=Scale.TWIN,
    strategy="refine",
    coder="builtin",
    judge="roofline",
    rounds=3,
    repeats=2,
    device="emulator",
    gpu="H200",
    status=BenchStatus.RUNNING,
    created=EPOCH,
    settings={"rounds": 3, "budget": None},
    environment={"torch": "2.13.0"},
)


def items(bench: BenchRun = BENCH, tasks: tuple[Task, ...] = (TASK, OTHER)) -> list[BenchItem]:
    """Repeat by repeat."""
    return [
        BenchItem(bench.id, len(tasks) * repeat + number, task.name, repeat, task.id, task.name, task.path)
        for repeat in range(bench.repeats)
        for number, task in enumerate(tasks)
    ]


def baseline(task: Task, name: str, seconds: float, device: DeviceInfo, **changes: Any) -> Baseline:
    """Within a tenth of `seconds`."""
    fields: dict[str, Any] = {
        "task_id": task.id,
        "name": name,
        "kind": TimingKind.MODELLED,
        "gpu": device.gpu,
        "seconds": seconds,
        "seconds_low": 0.9 * seconds,
        "seconds_high": 1.1 * seconds,
        "interval_source": "an estimate",
        "device": device,
        "created": EPOCH,
    }
    return Baseline(**(fields | changes))
