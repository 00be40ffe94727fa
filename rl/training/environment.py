"""The environment of training: replies in, rewards out; in between the verifier, in processes of its own.

What is judged is kept in the store as attempts of a run of its task (strategy `train:self` or `train:grpo`), each kernel once a
run: a kernel that is written again has the reward that it had, without another evaluation. An evaluator that dies says nothing
about a kernel: the reply then has no reward at all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from kernelwright.agents.protocols import PastAttempt
from kernelwright.bench_tasks.task import Task
from kernelwright.errors import SandboxError
from kernelwright.rl.contrastive.reading import read_reply
from kernelwright.rl.contrastive.reward import NO_KERNEL, is_cheating, is_jump, reward_of
from kernelwright.rl.run import Attempt, RunStore
from kernelwright.rl.training.history import History
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation

__all__ = ["Environment", "Evaluator", "Judged", "Lost", "Place", "Reply", "Request", "TrainingStore"]

_log = logging.getLogger(__name__)
_MOST_LOST = 0.5
"""Share of a batch without a judgement from which the evaluators are taken to be broken, not the kernels to be unlucky."""


@dataclass(frozen=True)
class Request:
    """A kernel to judge on a task."""

    task: Task
    kernel: Kernel


@dataclass(frozen=True)
class Lost:
    """No evaluator could judge it, after all retries. It says nothing about the kernel."""

    why: str


class Evaluator(Protocol):
    """Judges kernels, several at a time, outside of the trainer's process."""

    def evaluate(self, requests: Sequence[Request]) -> Sequence[Evaluation | Lost]:
        """One result a request, in order; each evaluation draws secret seeds of its own."""
        ...


class TrainingStore(RunStore, Protocol):
    """What training needs from the database."""

    def add_evaluation(self, task: Task, kernel: Kernel, evaluation: Evaluation) -> str:
        """Stores an evaluation that belongs to no attempt: the faster one of two."""
        ...


@dataclass(frozen=True)
class Reply:
    """What a model wrote for a task."""

    task_id: str
    text: str
    parents: tuple[str, ...] = ()
    """Ids of the kernels that it was to improve on."""


@dataclass(frozen=True)
class Judged:
    """What came of a reply."""

    reward: float | None
    """None: nobody could judge it."""
    why: str
    """The verdict, or why there is no kernel or no judgement; one line."""
    plan: str
    attempt: PastAttempt | None = None
    """The kernel and the evaluation that counts; its number is that of the run's attempt. None without a kernel or judgement."""
    fresh: bool = False
    """Whether it was evaluated now, and not known from before."""

    @property
    def cheated(self) -> bool:
        """Whether it has the floor."""
        return self.attempt is not None and is_cheating(self.attempt.evaluation)

    @property
    def passed(self) -> bool:
        """Whether its kernel passed."""
        return self.attempt is not None and self.attempt.evaluation.passed


@dataclass
class Place:
    """A task in training: where its attempts go, and what is known of it."""

    task: Task
    run_id: str
    history: History
    known: dict[str, Judged] = field(default_factory=dict)
    """By the kernel's id."""
    next_number: int = 1
    grows: bool = True
    """Whether what passes is shown to later prompts; not for a held-out task, whose looks would not be comparable."""


class Environment:
    """Judges replies.

    Args:
        evaluator: who judges kernels.
        store: where attempts go; the runs of `places` are there already.
        places: by the task's id.
        author: as kernels name their author.
        clock: tells the time of attempts.

    Raises:
        StoreError: from every method that stores.
    """

    def __init__(
        self, evaluator: Evaluator, store: TrainingStore, places: Mapping[str, Place], author: str,
        clock: Callable[[], datetime],
    ) -> None:  # fmt: skip
        self.places = dict(places)
        self._evaluator, self._store, self._author, self._clock = evaluator, store, author, clock
        for place in self.places.values():
            self._recall(place)

    def judge(self, replies: Sequence[Reply], note: str = "") -> list[Judged]:
        """One result a reply, in order.

        Args:
            note: kept with new attempts, for instance the step of training.

        Raises:
            SandboxError: half of the kernels or more could not be judged by anybody: something here is broken.
        """
        found: dict[int, Judged] = {}
        waiting: dict[tuple[str, str], list[int]] = {}
        read = [read_reply(reply.text, self._author, reply.parents) for reply in replies]
        for number, (reply, reading) in enumerate(zip(replies, read, strict=True)):
            place = self.places[reply.task_id]
            if reading.kernel is None:
                found[number] = Judged(NO_KERNEL, reading.plan, reading.plan)
            elif (known := place.known.get(reading.kernel.id)) is not None:
                found[number] = Judged(known.reward, known.why, reading.plan, known.attempt)
            else:
                waiting.setdefault((reply.task_id, reading.kernel.id), []).append(number)
        first = {pair: numbers[0] for pair, numbers in waiting.items()}
        kernels = [read[number].kernel for number in first.values()]
        requests = [
            Request(self.places[task_id].task, kernel)
            for (task_id, _), kernel in zip(first, kernels, strict=True)
            if kernel is not None
        ]
        for pair, outcome in zip(first, self._evaluate(requests), strict=True):
            reading = read[first[pair]]
            assert reading.kernel is not None
            judged = self._settle(self.places[pair[0]], reading.kernel, reading.plan, outcome, note)
            for number in waiting[pair]:
                found[number] = judged if number == first[pair] else _again(judged, read[number].plan)
        return [found[number] for number in range(len(replies))]

    # -- inside -------------------------------------------------------------------------------------------------

    def _evaluate(self, requests: Sequence[Request]) -> list[list[Evaluation] | Lost]:
        """All evaluations of each kernel: one, or two where the first was a jump."""
        if not requests:
            return []
        best = {task_id: place.history.best for task_id, place in self.places.items()}
        outcomes: list[list[Evaluation] | Lost] = []
        for outcome in self._evaluator.evaluate(requests):
            outcomes.append(outcome if isinstance(outcome, Lost) else [outcome])
        jumps = [
            number
            for number, outcome in enumerate(outcomes)
            if not isinstance(outcome, Lost) and is_jump(outcome[0], best[requests[number].task.id])
        ]
        if jumps:
            for number, again in zip(
                jumps, self._evaluator.evaluate([requests[number] for number in jumps]), strict=True
            ):
                before = outcomes[number]
                assert not isinstance(before, Lost)
                # a jump that nobody could confirm is not believed, and not held against the kernel either
                outcomes[number] = again if isinstance(again, Lost) else [*before, again]
        lost = [outcome for outcome in outcomes if isinstance(outcome, Lost)]
        for each in lost:
            _log.warning("a kernel was not judged: %s", each.why)
        if len(lost) > 1 and len(lost) >= _MOST_LOST * len(requests):
            raise SandboxError(
                f"{len(lost)} of {len(requests)} kernels could not be judged: {lost[0].why}",
                mend="Look at the log and at `kernelwright doctor`; training goes on with --resume.",
            )
        return outcomes

    def _settle(self, place: Place, kernel: Kernel, plan: str, outcome: list[Evaluation] | Lost, note: str) -> Judged:
        if isinstance(outcome, Lost):
            return Judged(None, f"not judged: {outcome.why}", plan)
        counts = min(outcome, key=lambda e: reward_of([e], place.history.scale))
        reward = reward_of(outcome, place.history.scale)
        notes = [note] if note else []
        if len(outcome) > 1:
            notes.append("a jump: judged again with new secret seeds, the slower evaluation counts")
            for other in outcome:
                if other is not counts:
                    self._store.add_evaluation(place.task, kernel, other)
        number = place.next_number
        self._store.add_attempt(
            Attempt(
                run_id=place.run_id,
                number=number,
                plan=plan,
                kernel=kernel,
                evaluation=counts,
                advice=None,
                created=self._clock(),
                seconds=sum(e.seconds for e in outcome),
                notes=(*notes, f"reward {reward:.3f}"),
            )
        )
        place.next_number = number + 1
        return self._known(place, PastAttempt(number, kernel, counts, plan=plan), reward, fresh=True)

    def _known(self, place: Place, attempt: PastAttempt, reward: float, *, fresh: bool) -> Judged:
        judged = Judged(reward, attempt.evaluation.verdict.value, attempt.plan, attempt, fresh)
        place.known[attempt.kernel.id] = judged
        if place.grows:
            place.history.add(attempt)
        return judged

    def _recall(self, place: Place) -> None:
        """What the run has already, for a stage that is gone on with."""
        for attempt in self._store.attempts(place.run_id):
            past = PastAttempt(attempt.number, attempt.kernel, attempt.evaluation, plan=attempt.plan)
            self._known(place, past, reward_of([attempt.evaluation], place.history.scale), fresh=False)
            place.next_number = max(place.next_number, attempt.number + 1)


def _again(judged: Judged, plan: str) -> Judged:
    return Judged(judged.reward, judged.why, plan, judged.attempt)
