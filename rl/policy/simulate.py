"""Searches on a landscape: the coders, judges and strategies of a real run, with prices looked up in place of evaluations.

A simulated task has the choices that its landscape has and no others: what a coder asks for that is not there becomes the nearest
that is. So every strategy chooses from the same choices, and the best known one is known.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

from kernelwright.agents.builtin.coder import BuiltinCoder
from kernelwright.agents.builtin.policy.candidates import key_of
from kernelwright.agents.builtin.policy.facts import ChoiceFacts, KernelFacts
from kernelwright.agents.builtin.policy.sampler import PolicySampler
from kernelwright.agents.builtin.space import Choice, ParameterSpace, Value
from kernelwright.agents.protocols import Coder, Judge, PastAttempt, Proposal
from kernelwright.rl.policy.landscape import KernelLandscape, Landscape, Priced
from kernelwright.rl.run import Attempt
from kernelwright.rl.strategy import Stop, Strategy
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.launch import LaunchReport
from kernelwright.verifier.evaluation import DeviceInfo, Evaluation, Profile, Timing, TimingKind, Verdict

__all__ = ["SimulatedCoder", "SimulatedPolicySampler", "SimulatedTask", "Trace", "simulate"]

Reports = Mapping[tuple[str, tuple[tuple[str, str], ...]], Sequence[LaunchReport]]
"""Launch reports by kernel function and `key_of` of its knobs."""
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class _Pool(ParameterSpace):
    """The choices of a landscape, as the built-in coder's space of parameters.

    Changes are repaired to the nearest choice that has the wanted values: fewest other knobs changed, then by the fewest steps.
    """

    def __init__(self, landscape: Landscape) -> None:
        self._of = {kernel.facts.name: kernel for kernel in landscape.kernels}
        self._choices = {name: [dict(p.choice.knobs) for p in kernel.priced] for name, kernel in self._of.items()}
        ranges = {
            name: {knob: _sorted({_typed(c[knob]) for c in choices}) for knob in choices[0]}
            for name, choices in self._choices.items()
        }
        self._values = {f"{name}.{knob}": values for name, knobs in ranges.items() for knob, values in knobs.items()}
        self._steps = {name: {_typed(v): i for i, v in enumerate(values)} for name, values in self._values.items()}

    @cached_property
    def values(self) -> dict[str, tuple[Value, ...]]:
        return {name: values for name, values in self._values.items() if len(values) > 1}

    @cached_property
    def defaults(self) -> Choice:
        return {f"{name}.{knob}": v for name, choices in self._choices.items() for knob, v in choices[0].items()}

    @cached_property
    def conservative(self) -> Choice:
        """The nearest to a plain kernel: every number at its least, words and switches at the first choice's."""
        plain: Choice = {}
        for name, choices in self._choices.items():
            least = min(choices, key=lambda c, name=name: [self._steps[f"{name}.{k}"][_typed(c[k])] for k in c])  # type: ignore[misc]
            plain |= {f"{name}.{knob}": value for knob, value in least.items()}
        return plain

    def split(self, choice: Mapping[str, Value]) -> dict[str, Choice]:
        found: dict[str, Choice] = {name: {} for name in self._choices}
        for key, value in choice.items():
            name, _, knob = key.rpartition(".")
            found[name][knob] = value
        return found

    def changed(self, base: Mapping[str, Value], wanted: Mapping[str, Value]) -> Choice | None:
        known = {k: v for k, v in wanted.items() if _typed(v) in self._steps.get(k, {}) and k in self.values}
        if not known:
            return None
        asked, result = self.split(known), dict(base)
        for name, own in self.split(base).items():
            if not asked[name]:
                continue
            target = {**own, **asked[name]}
            able = [c for c in self._choices[name] if all(_typed(c[k]) == _typed(v) for k, v in asked[name].items())]
            if not able:
                return None
            nearest = min(able, key=lambda c: self._distance(name, target, c))
            result |= {f"{name}.{knob}": value for knob, value in nearest.items()}
        return result

    def _distance(self, name: str, a: Mapping[str, Value], b: Mapping[str, Value]) -> tuple[int, int]:
        steps = [abs(self._step(name, k, a[k]) - self._step(name, k, b[k])) for k in b]
        return sum(step > 0 for step in steps), sum(steps)

    def _step(self, name: str, knob: str, value: Value) -> int:
        return self._steps[f"{name}.{knob}"].get(_typed(value), 0)


def _typed(value: Value) -> Value:
    """True is not 1 as a knob."""
    return str(value) if isinstance(value, bool) else value


def _sorted(values: set[Value]) -> tuple[Value, ...]:
    """In their order; switches as they are again."""
    back = {"True": True, "False": False}
    return tuple(back.get(str(v), v) for v in sorted(values, key=lambda v: (isinstance(v, str), v)))


class SimulatedCoder(BuiltinCoder):
    """The built-in coder of a landscape's task; what it writes is the choice itself in place of a source."""

    def __init__(self, landscape: Landscape, *, plain_first: bool = True) -> None:
        self.task_name = landscape.task
        self.plain_first = plain_first
        self.landscape = landscape
        self._space = _Pool(landscape)

    @property
    def stays_in_torch(self) -> tuple[str, ...]:
        """Nothing: landscapes are of tasks that are lowered whole."""
        return ()

    def proposal(self, choice: Choice, parents: tuple[str, ...], base: Choice | None, why: str) -> Proposal:
        """The choice, as if it had been written."""
        source = json.dumps({name: choice[name] for name in sorted(choice)})
        return Proposal(Kernel(source, author=self.name, parents=parents, parameters=dict(choice)), why)


class SimulatedPolicySampler(PolicySampler):
    """The policy's sampler, choosing from a landscape's choices."""

    def candidates(self) -> Sequence[tuple[KernelFacts, Sequence[ChoiceFacts]]]:
        """All choices of the landscape."""
        coder = self._coder
        assert isinstance(coder, SimulatedCoder)
        return [(kernel.facts, [p.choice for p in kernel.priced]) for kernel in coder.landscape.kernels]


@dataclass(frozen=True)
class SimulatedTask:
    """A landscape on one GPU, as what evaluates kernels."""

    landscape: Landscape
    gpu: str
    reports: Reports = field(default_factory=dict)
    """For judges that read counters; without them evaluations have no profile."""

    @property
    def best_seconds(self) -> float:
        """The least known."""
        return self.landscape.best_seconds(self.gpu)

    def priced(self, parameters: Mapping[str, Value]) -> list[tuple[KernelLandscape, Priced]]:
        """The price of each kernel's part of a choice.

        Raises:
            KeyError: the landscape does not have it.
        """
        found = []
        for kernel in self.landscape.kernels:
            prefix = f"{kernel.facts.name}."
            own = {
                k.removeprefix(prefix): v for k, v in parameters.items() if k.rpartition(".")[0] == kernel.facts.name
            }
            found.append((kernel, kernel.by_key[key_of(own)]))
        return found

    def seconds(self, parameters: Mapping[str, Value]) -> float | None:
        """Modelled, of the whole call; None where a kernel does not run."""
        found = [p.seconds.get(self.gpu) for _, p in self.priced(parameters)]
        return None if any(s is None for s in found) else sum(s for s in found if s is not None)

    def evaluate(self, kernel: Kernel) -> Evaluation:
        """As a verifier that finds nothing wrong."""
        device = DeviceInfo(kind="emulator", name="landscape", gpu=self.gpu, arch="", isolation="process")
        seconds = self.seconds(kernel.parameters)
        if seconds is None:
            return Evaluation(
                task_id=self.landscape.task, kernel_id=kernel.id, verdict=Verdict.COMPILE_ERROR, reason="It can't be launched.",
                stages=[], device=device,
            )  # fmt: skip
        rows, launches = [], []
        for own, price in self.priced(kernel.parameters):
            rows.append({"name": own.facts.name, "seconds": price.seconds[self.gpu]})
            key = own.facts.name, key_of(price.choice.knobs)
            launches += [report.to_json() for report in self.reports.get(key, ())]
        bound = min(self.landscape.bound_seconds.get(self.gpu, seconds), seconds)
        timing = Timing(
            kind=TimingKind.MODELLED, gpu=self.gpu, seconds=seconds, baseline_seconds=seconds, bound_seconds=bound, breakdown=rows,
        )  # fmt: skip
        profile = Profile(launches=launches) if launches else None
        return Evaluation(
            task_id=self.landscape.task, kernel_id=kernel.id, verdict=Verdict.PASSED, reason="", stages=[], device=device,
            timing=timing, profile=profile,
        )  # fmt: skip


@dataclass(frozen=True)
class Trace:
    """How a simulated search went."""

    seconds: tuple[float | None, ...]
    """Of each attempt in order; None for one that failed."""
    stopped: str = ""
    """Why it ended before the budget was used; else empty."""

    def reached(self, target: float) -> int | None:
        """The number of evaluations, 1-based, after which a time of at most `target` seconds was known; None if never."""
        return next((i for i, s in enumerate(self.seconds, 1) if s is not None and s <= target), None)


def simulate(
    task: SimulatedTask, strategy: Strategy, coder: Coder, judge: Judge | None, budget: int, target: float = 0.0
) -> Trace:
    """What `kernelwright.rl.search.search` does, without a store: attempts until the budget is used or nothing new comes.

    Args:
        target: the search ends when it has a time of at most so many seconds; what would come after is of no interest.
    """
    done: list[Attempt] = []
    for attempt in _attempts(task, strategy, coder, judge if strategy.asks_judge else None, budget, done):
        if isinstance(attempt, str):
            return Trace(_times(done), attempt)
        timing = attempt.evaluation.timing
        if timing is not None and timing.seconds <= target:
            break
    return Trace(_times(done))


def _attempts(
    task: SimulatedTask, strategy: Strategy, coder: Coder, judge: Judge | None, budget: int, done: list[Attempt]
) -> Iterator[Attempt | str]:
    """Each attempt as it ends, put into `done` by batches as a search does; last why there is no further one."""
    while len(done) < budget:
        batch = strategy.plan(tuple(done), budget - len(done))
        if isinstance(batch, Stop):
            yield batch.why
            return
        made: list[Attempt] = []
        for step in batch.steps[: budget - len(done)]:
            proposal = coder.propose(step.history, step.advice, step.turn)
            if proposal is None:
                continue
            evaluation = task.evaluate(proposal.kernel)
            past = PastAttempt(step.number, proposal.kernel, evaluation, None, proposal.plan)
            advice = judge.advise(past, step.history) if judge is not None else None
            made.append(
                Attempt("simulated", step.number, proposal.plan, proposal.kernel, evaluation, advice, _EPOCH, 0.0)
            )
            done.append(made[-1])
            yield made[-1]
        if not made:
            yield "The coder has nothing new to try."
            return


def _times(done: Sequence[Attempt]) -> tuple[float | None, ...]:
    return tuple(None if a.evaluation.timing is None else a.evaluation.timing.seconds for a in done)
