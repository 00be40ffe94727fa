"""Outermost edges of a search, scripted: a coder, a judge and an evaluation that do as they are told, on real types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from kernelwright.agents.protocols import Advice, PastAttempt, Proposal, Turn
from kernelwright.bench_tasks.task import Distribution, NumericPolicy, Task, Workload
from kernelwright.errors import BudgetReached, KernelwrightError
from kernelwright.events import Observer, StageFinished, StageStarted
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

EPOCH = datetime(2026, 11, 21, 12, 0, 0, 250_000, tzinfo=UTC)
DEVICE = DeviceInfo(
    kind="emulator",
    name="emulator (H200)",
    gpu="H200",
    arch="sm_90",
    isolation="process",
    versions={"torch": "2.13.0", "nvrtc": "13.0"},
)
TASK = Task(
    name="softmax",
    source="class Model: ...\n# π\n",
    path="examples/softmax.py",
    workloads=(Workload("normal", Distribution.NORMAL, 3), Workload("zeros", Distribution.ZEROS)),
    policy=NumericPolicy(slack=4.5, floor_ulps=2.0),
    attachments={"weights.pt": bytes(range(256)), "empty": b""},
)

Outcome = float | Verdict
"""A modelled time in seconds (it passed), or the verdict of a failure."""


def kernel(number: int, parents: tuple[str, ...] = ()) -> Kernel:
    return Kernel(
        source=f"class ModelNew: version = {number}\n",
        author="scripted",
        parents=parents,
        parameters={"softmax_kernel.vector_width": number, "softmax_kernel.strategy": "online", "fast": False},
    )


def evaluation(candidate: Kernel, outcome: Outcome, task: Task = TASK, **changes: Any) -> Evaluation:
    """What a verifier would say of `candidate`; `changes` replace fields."""
    passed = not isinstance(outcome, Verdict)
    status = StageStatus.PASSED if passed else StageStatus.FAILED
    stages = [
        Stage(name="static", status=StageStatus.PASSED, summary="ModelNew found", seconds=0.001),
        Stage(name="correctness", status=status, summary="6 workloads", seconds=0.25, evidence={"worst": [1e-7, None]}),
    ]
    fields: dict[str, Any] = {
        "task_id": task.id,
        "kernel_id": candidate.id,
        "verdict": Verdict.PASSED if passed else outcome,
        "reason": "" if passed else f"it is {outcome}",
        "stages": stages,
        "device": DEVICE,
        "seeds": {"normal/0": 2**64 - 1},
        "seconds": 0.5,
    }
    if passed:
        fields["timing"] = Timing(
            kind=TimingKind.MODELLED,
            gpu="H200",
            seconds=outcome,
            baseline_seconds=3e-5,
            bound_seconds=7.1e-6,
            bound_by="dram",
            breakdown=[{"name": "softmax_kernel", "seconds": outcome, "limited_by": "dram"}],
        )
        fields["profile"] = Profile(launches=[{"kernel": "softmax_kernel"}], metrics=[{"dram__bytes_read.sum": 1.6e7}])
    return Evaluation(**(fields | changes))


def run(run_id: str = "softmax-7k3f9q", *, rounds: int = 4, task: Task = TASK, **changes: Any) -> Run:
    fields: dict[str, Any] = {
        "id": run_id,
        "task": task,
        "strategy": "refine",
        "coder": "scripted",
        "judge": "scripted",
        "device": "emulator",
        "gpu": "H200",
        "rounds": rounds,
        "status": RunStatus.RUNNING,
        "created": EPOCH,
        "settings": {"isolation": "auto", "limits": {"call_seconds": 10.5}},
    }
    return Run(**(fields | changes))


def attempt(run_id: str, number: int, outcome: Outcome, task: Task = TASK, **changes: Any) -> Attempt:
    candidate = kernel(number, parents=(kernel(number - 1).id,) if number > 1 else ())
    fields: dict[str, Any] = {
        "run_id": run_id,
        "number": number,
        "plan": f"version {number}",
        "kernel": candidate,
        "evaluation": evaluation(candidate, outcome, task),
        "advice": advice("improve"),
        "created": EPOCH,
        "seconds": 1.5,
        "notes": ("gather stays in torch",),
    }
    return Attempt(**(fields | changes))


def advice(mode: str) -> Advice:
    return Advice(
        mode=mode,
        limiter="dram",
        evidence={"dram_share": 0.5, "waves": 3, "why": "narrow loads"},
        change=f"{mode}: wider loads",
        parameters={"softmax_kernel.vector_width": 4},
        expected_speedup=1.25,
    )


def do_nothing(_point: str) -> None:
    """The hook that no test listens at."""


@dataclass
class ScriptedCoder:
    """Writes version 1, 2, ... up to `versions`, each from the fastest that passed; `at` is told when it is asked."""

    versions: int
    at: Callable[[str], None] = do_nothing
    name: str = "scripted"
    errors: dict[int, KernelwrightError] = field(default_factory=dict)
    seen: list[tuple[tuple[PastAttempt, ...], Advice | None]] = field(default_factory=list)

    def propose(
        self, history: tuple[PastAttempt, ...], advice: Advice | None, turn: Turn | None = None
    ) -> Proposal | None:
        number = len(history) + 1
        self.at(f"write {number}")
        self.seen.append((history, advice))
        if number in self.errors:
            raise self.errors[number]
        if number > self.versions:
            return None
        passed = [(p.evaluation.timing.seconds, p.kernel.id) for p in history if p.evaluation.timing is not None]
        parents = (min(passed)[1],) if passed else ()
        return Proposal(kernel(number, parents), f"version {number}", notes=("a note",), details={"tokens": 12})


@dataclass
class ScriptedJudge:
    """Says `improve` or `repair`, and `stop` after attempt `stop_at`."""

    stop_at: int | None = None
    at: Callable[[str], None] = do_nothing
    name: str = "scripted"
    seen: list[tuple[PastAttempt, tuple[PastAttempt, ...]]] = field(default_factory=list)

    def advise(self, attempt: PastAttempt, history: tuple[PastAttempt, ...]) -> Advice:
        self.at(f"judge {attempt.number}")
        self.seen.append((attempt, history))
        if attempt.number == self.stop_at:
            return advice("stop")
        return advice("improve" if attempt.evaluation.passed else "repair")


@dataclass
class ScriptedEvaluate:
    """Gives the outcomes in order, by the kernel's version; counts what it was asked."""

    outcomes: Sequence[Outcome]
    at: Callable[[str], None] = do_nothing
    asked: list[int] = field(default_factory=list)

    def __call__(self, candidate: Kernel, observer: Observer) -> Evaluation:
        number = int(str(candidate.parameters["softmax_kernel.vector_width"]))
        self.at(f"evaluate {number}")
        self.asked.append(number)
        observer(StageStarted("correctness"))
        observer(StageFinished("correctness", "passed", "6 workloads", 0.25))
        return evaluation(candidate, self.outcomes[number - 1])


class Ticks:
    """A clock that goes on by one second at every look."""

    def __init__(self) -> None:
        self._ticks = count()

    def __call__(self) -> float:
        return float(next(self._ticks))


@dataclass
class TurnCoder:
    """Writes the version that the turn is numbered, from the turn's parent; `over_budget` says which turns it refuses."""

    silent: frozenset[int] = frozenset()
    name: str = "scripted"
    over_budget: Callable[[int], bool] = lambda _number: False
    seen: dict[int, tuple[tuple[int, ...], int | None]] = field(default_factory=dict)

    def propose(self, history: tuple[PastAttempt, ...], advice: Advice | None, turn: Turn) -> Proposal | None:
        self.seen[turn.number] = tuple(p.number for p in history), None if turn.parent is None else turn.parent.number
        if self.over_budget(turn.number):
            raise BudgetReached("the next call could pass the budget of $1.00.", mend="Raise it.")
        if turn.number in self.silent:
            return None
        parents = () if turn.parent is None else (turn.parent.kernel.id,)
        return Proposal(kernel(turn.number, parents), f"version {turn.number}")


def failed_at(candidate: Kernel, verdict: Verdict, evidence: dict[str, Any]) -> Evaluation:
    """A failure whose last stage has this evidence."""
    found = evaluation(candidate, verdict)
    return found.model_copy(
        update={"stages": [*found.stages[:-1], found.stages[-1].model_copy(update={"evidence": evidence})]}
    )
