"""Evaluations, attempts and runs built from the real types, for tests that draw or write them."""

from __future__ import annotations

from datetime import UTC, datetime

from kernelwright.agents.protocols import Advice
from kernelwright.bench_tasks.task import Task
from kernelwright.rl.run import Attempt, Run, RunStatus
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import (
    DeviceInfo,
    Evaluation,
    Profile,
    Stage,
    StageStatus,
    Timing,
    TimingKind,
    Verdict,
)

WHEN = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TASK = Task(name="softmax", source="class Model: ...\n")
KERNEL = Kernel(
    source="import torch\n\n\nclass ModelNew(torch.nn.Module):\n    pass\n",
    author="builtin",
    parameters={"k.threads": 256},
)
DEVICE = DeviceInfo(kind="emulator", name="emulator (as H200)", gpu="H200", arch="sm_90", isolation="process")


def timing(seconds: float = 10e-6) -> Timing:
    """10 µs against 25 µs of eager, bound 8 µs."""
    return Timing(
        kind=TimingKind.MODELLED,
        gpu="H200",
        seconds=seconds,
        baseline_seconds=25e-6,
        bound_seconds=8e-6,
        bound_by="dram",
        breakdown=[{"name": "k", "seconds": seconds, "limited_by": "dram"}],
    )


def passed(kernel: Kernel = KERNEL, seconds: float = 10e-6) -> Evaluation:
    """An evaluation that passed."""
    return Evaluation(
        task_id=TASK.id,
        kernel_id=kernel.id,
        verdict=Verdict.PASSED,
        reason="It computes the function.",
        stages=[Stage(name="build", status=StageStatus.PASSED, summary="32 registers", seconds=0.07)],
        device=DEVICE,
        timing=timing(seconds),
        profile=Profile(launches=[]),
        seeds={"weights/0": 0, "as-given/0": 1, "normal/0": 2},
    )


def failed(reason: str = "output 0 is off by 3.", kernel: Kernel = KERNEL) -> Evaluation:
    """An evaluation with the verdict `wrong`."""
    return Evaluation(
        task_id=TASK.id,
        kernel_id=kernel.id,
        verdict=Verdict.WRONG,
        reason=reason,
        stages=[Stage(name="correctness", status=StageStatus.FAILED, summary="1 of 7 draws", seconds=1.2)],
        device=DEVICE,
    )


def attempt(number: int, evaluation: Evaluation, plan: str = "one block per row", kernel: Kernel = KERNEL) -> Attempt:
    """Round `number` of `RUN`."""
    advice = Advice(mode="improve", limiter="dram", change="read 16 bytes at a time")
    return Attempt(RUN.id, number, plan, kernel, evaluation, advice, WHEN, 1.5)


RUN = Run(
    id="softmax-7k3f9q",
    task=TASK,
    strategy="refine",
    coder="builtin",
    judge="roofline",
    device="emulator",
    gpu="H200",
    rounds=6,
    status=RunStatus.FINISHED,
    created=WHEN,
)
