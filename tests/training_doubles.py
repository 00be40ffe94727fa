"""Outermost edges of training, scripted: an evaluator that does as it is told, a store in memory, prompts of a word."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from search_doubles import EPOCH, TASK, Outcome, evaluation

from kernelwright.agents.protocols import PastAttempt
from kernelwright.bench_tasks.task import Task
from kernelwright.rl.contrastive.exemplars import Variant
from kernelwright.rl.contrastive.prompt import Messages
from kernelwright.rl.contrastive.reward import Scale
from kernelwright.rl.run import Attempt
from kernelwright.rl.training.environment import Environment, Evaluator, Lost, Place, Request, confirmed
from kernelwright.rl.training.history import History
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation, Verdict

BASELINE = 3e-5
"""Seconds of the reference in `search_doubles`."""


def module(name: str) -> str:
    return f"# {name}\nclass ModelNew:\n    pass\n"


def reply(name: str) -> str:
    """A reply whose kernel is `module(name)`."""
    return f"PLAN: {name}\n```python\n{module(name)}```\n"


def name_of(kernel: Kernel) -> str:
    return kernel.source.splitlines()[0].removeprefix("# ")


@dataclass
class ScriptedEvaluator:
    """Gives outcomes by the kernel's name, one after another; the last one holds. `Lost` is told as it is."""

    outcomes: Mapping[str, Sequence[Outcome | Lost]]
    asked: list[str] = field(default_factory=list)
    ends_at: int | None = None
    """Where the process ends: before so many kernels are evaluated."""

    def evaluate(self, requests: Sequence[Request]) -> Iterator[tuple[int, list[Evaluation] | Lost]]:
        for place, request in enumerate(requests):
            yield place, confirmed(request, partial(self._once, request))

    def _once(self, request: Request) -> Evaluation | Lost:
        if self.ends_at is not None and len(self.asked) >= self.ends_at:
            raise KeyboardInterrupt
        name = name_of(request.kernel)
        told = self.outcomes[name]
        outcome = told[min(self.asked.count(name), len(told) - 1)]
        self.asked.append(name)
        return outcome if isinstance(outcome, Lost) else evaluation(request.kernel, outcome, request.task)


class Pieces:
    """Judges kernels of the tiny model (`rl.training.tiny`) by their text: no process, no compiler."""

    def evaluate(self, requests: Sequence[Request]) -> Iterator[tuple[int, list[Evaluation] | Lost]]:
        for place, request in enumerate(requests):
            yield place, [evaluation(request.kernel, self._outcome(request.kernel.source), request.task)]

    def _outcome(self, source: str) -> Outcome:
        if "allclose" in source:
            return Verdict.CHEATING
        if "SOURCE =" not in source or "return y" not in source:
            return Verdict.COMPILE_ERROR
        return BASELINE / (2.0 if "four at a time" in source else 1.0)


@dataclass
class MemoryStore:
    """Keeps attempts and evaluations."""

    kept: dict[str, list[Attempt]] = field(default_factory=dict)
    others: list[Evaluation] = field(default_factory=list)

    def attempts(self, run_id: str) -> list[Attempt]:
        return list(self.kept.get(run_id, []))

    def add_attempt(self, attempt: Attempt) -> None:
        self.kept.setdefault(attempt.run_id, []).append(attempt)

    def add_evaluation(self, task: Task, kernel: Kernel, evaluation: Evaluation) -> str:
        self.others.append(evaluation)
        return str(len(self.others))


class WordPrompts:
    """Prompts that say what they were given, in a word."""

    def first(self, variants: Sequence[Variant]) -> Messages:
        return [{"role": "user", "content": "first " + " ".join(v.kernel_id for v in variants)}]

    def next(self, attempts: Sequence[PastAttempt]) -> Messages:
        return [{"role": "user", "content": "next " + " ".join(name_of(a.kernel) for a in attempts)}]


def environment(
    evaluator: Evaluator, store: MemoryStore, tasks: Sequence[Task] = (TASK,), *,
    variants: Sequence[Variant] = (), scale: Scale | None = None, changed: Callable[[Place], None] = lambda _place: None,
    done: int = 0,
) -> Environment:  # fmt: skip
    """With a place for each task, whose run is called as the task is."""
    places = {task.id: Place(task, task.name, History(variants, scale)) for task in tasks}
    for place in places.values():
        changed(place)
    return Environment(evaluator, store, places, "trained:scripted", lambda: EPOCH, done=done)  # type: ignore[arg-type]
