"""The environment of training: replies in, rewards out; in between the verifier, in processes of its own.

What is judged is kept in the store as attempts of a run of its task (strategy `train:self` or `train:grpo`), as soon as it is judged
and each kernel once a run: a kernel that is written again has the reward that it had, without another evaluation. An evaluator
that dies says nothing about a kernel: the reply then has no reward at all.

A step that was under way when the process ended is made again. Its replies are the same ones; what was judged of them is known,
and comes into the history of its task when the step made again has it, as it did the first time.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
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

__all__ = ["Environment", "Evaluator", "Judged", "Lost", "Place", "Reply", "Request", "TrainingStore", "confirmed"]

_log = logging.getLogger(__name__)
_MOST_LOST = 0.5
"""Share of a step's kernels without a judgement from which the evaluators are taken to be broken, not the kernels to be unlucky."""
_STEP = re.compile(r"(?:step|round) (\d+)")
"""In the note of an attempt."""


@dataclass(frozen=True)
class Request:
    """A kernel to judge on a task."""

    task: Task
    kernel: Kernel
    best: float | None = None
    """The best speed-up of the task before; with it a jump is told."""


@dataclass(frozen=True)
class Lost:
    """No evaluator could judge it, after all retries. It says nothing about the kernel."""

    why: str


def confirmed(request: Request, once: Callable[[], Evaluation | Lost]) -> list[Evaluation] | Lost:
    """All evaluations of a request: one, or two where the first was a jump.

    Args:
        once: evaluates it.
    """
    first = once()
    if isinstance(first, Lost):
        return first
    if not is_jump(first, request.best):
        return [first]
    # a jump that nobody could confirm is not believed, and not held against the kernel either
    again = once()
    return again if isinstance(again, Lost) else [first, again]


class Evaluator(Protocol):
    """Judges kernels, several at a time, outside of the trainer's process."""

    def evaluate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Sequence[Evaluation] | Lost]]:
        """The place of each request in `requests` and all its evaluations (see `confirmed`), as soon as it has them; each
        evaluation draws secret seeds of its own."""
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
    note: str = ""
    """Where in training it was evaluated."""

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
        done: the step, or round, that a stage is gone on with after; what was judged in later ones is known, but not history yet.

    Raises:
        StoreError: from every method that stores.
    """

    def __init__(
        self, evaluator: Evaluator, store: TrainingStore, places: Mapping[str, Place], author: str,
        clock: Callable[[], datetime], *, done: int = 0,
    ) -> None:  # fmt: skip
        self.places = dict(places)
        self._evaluator, self._store, self._author, self._clock = evaluator, store, author, clock
        for place in self.places.values():
            self._recall(place, done)

    def judge(self, replies: Sequence[Reply], note: str) -> list[Judged]:
        """One result a reply, in order. What is judged is stored at once, one by one.

        Args:
            note: where in training this is: `step 12`, `held-out, round 3`. Kept with new attempts.

        Raises:
            SandboxError: half of the kernels of this step or more, be it the only one, could not be judged by anybody:
                something here is broken.
        """
        found: dict[int, Judged] = {}
        waiting: dict[tuple[str, str], list[int]] = {}
        before: dict[tuple[str, str], Judged] = {}
        best = {task_id: place.history.best for task_id, place in self.places.items()}
        read = [read_reply(reply.text, self._author, reply.parents) for reply in replies]
        for number, (reply, reading) in enumerate(zip(replies, read, strict=True)):
            place = self.places[reply.task_id]
            if reading.kernel is None:
                found[number] = Judged(NO_KERNEL, reading.plan, reading.plan)
            elif (known := place.known.get(reading.kernel.id)) is not None:
                found[number] = _again(known, reading.plan)
                before[reply.task_id, reading.kernel.id] = known
            else:
                waiting.setdefault((reply.task_id, reading.kernel.id), []).append(number)
        for (task_id, _), known in before.items():
            self._into_history(self.places[task_id], known)
        pairs = list(waiting)
        requests = [self._request(pair[0], read[waiting[pair][0]].kernel, best) for pair in pairs]
        lost: list[Lost] = []
        for which, outcome in self._evaluator.evaluate(requests) if requests else ():
            first, *others = waiting[pairs[which]]
            if isinstance(outcome, Lost):
                _log.warning("a kernel was not judged: %s", outcome.why)
                lost.append(outcome)
                judged = Judged(None, f"not judged: {outcome.why}", read[first].plan)
            else:
                request = requests[which]
                place = self.places[request.task.id]
                judged = self._settle(place, request.kernel, read[first].plan, outcome, note)
            found |= {first: judged} | {number: _again(judged, read[number].plan) for number in others}
        # also those that this step had before it was made again: else the rest of it would be held to another measure
        judging = len(requests) + sum(known.note == note for known in before.values())
        if lost and len(lost) >= _MOST_LOST * judging:
            raise SandboxError(
                f"{len(lost)} of {judging} kernels could not be judged: {lost[0].why}",
                mend="Look at the log and at `kernelwright doctor`; training goes on with --resume.",
            )
        return [found[number] for number in range(len(replies))]

    # -- inside -------------------------------------------------------------------------------------------------

    def _request(self, task_id: str, kernel: Kernel | None, best: Mapping[str, float | None]) -> Request:
        assert kernel is not None
        return Request(self.places[task_id].task, kernel, best[task_id])

    def _settle(self, place: Place, kernel: Kernel, plan: str, outcome: Sequence[Evaluation], note: str) -> Judged:
        counts = min(outcome, key=lambda e: reward_of([e], place.history.scale))
        reward = reward_of(outcome, place.history.scale)
        notes = [note]
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
        judged = self._known(place, PastAttempt(number, kernel, counts, plan=plan), reward, note, fresh=True)
        self._into_history(place, judged)
        return judged

    def _known(self, place: Place, attempt: PastAttempt, reward: float, note: str, *, fresh: bool) -> Judged:
        judged = Judged(reward, attempt.evaluation.verdict.value, attempt.plan, attempt, fresh, note)
        place.known[attempt.kernel.id] = judged
        return judged

    def _into_history(self, place: Place, judged: Judged) -> None:
        if place.grows and judged.attempt is not None:
            place.history.add(judged.attempt)

    def _recall(self, place: Place, done: int) -> None:
        """What the run has already, for a stage that is gone on with."""
        for attempt in self._store.attempts(place.run_id):
            past = PastAttempt(attempt.number, attempt.kernel, attempt.evaluation, plan=attempt.plan)
            note = attempt.notes[0] if attempt.notes else ""
            reward = reward_of([attempt.evaluation], place.history.scale)
            judged = self._known(place, past, reward, note, fresh=False)
            step = _STEP.search(note)
            if step is None or int(step[1]) <= done:
                self._into_history(place, judged)
            place.next_number = max(place.next_number, attempt.number + 1)


def _again(judged: Judged, plan: str) -> Judged:
    return Judged(judged.reward, judged.why, plan, judged.attempt)
