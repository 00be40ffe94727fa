"""The search: carries out what a strategy decides, keeps every attempt, and goes on with a run that was stopped."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kernelwright.agents.at_once import at_once
from kernelwright.agents.attempt import AttemptResult, Evaluate, run_attempt
from kernelwright.agents.checkpoint import checkpoints_in, checkpoints_usable
from kernelwright.agents.protocols import Advice, Coder, Judge, PastAttempt, Proposal, Turn
from kernelwright.errors import BudgetReached, KernelwrightError, NotFoundError, StoreError
from kernelwright.events import (
    AttemptFinished,
    AttemptStarted,
    Observer,
    RunFinished,
    RunStarted,
    StageFinished,
    StageStarted,
    ignore,
)
from kernelwright.rl.run import Attempt, Run, RunStatus, RunStore
from kernelwright.rl.strategy import Batch, Step, Stop, Strategy, best_attempt

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

__all__ = ["Clock", "Ranker", "SearchResult", "search", "utc_now"]

_log = logging.getLogger(__name__)

Clock = Callable[[], datetime]
"""Tells the time, aware."""


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


class Ranker(Protocol):
    """Says which proposals of a batch are worth evaluating first."""

    def rank(self, proposals: Sequence[tuple[int, Proposal]]) -> Sequence[int]:
        """The attempts' numbers, the most promising first; every one of `proposals` (number and kernel) is in it.

        Raises:
            ModelError: no vote could be had, or the budget does not allow it.
        """
        ...


@dataclass(frozen=True)
class SearchResult:
    """A search that came to its end."""

    run: Run
    """As stored, with its final status."""
    attempts: tuple[Attempt, ...]
    """In the order of their numbers."""
    best: Attempt | None
    """See `best_attempt`."""
    stopped_because: str
    """One sentence."""


def search(
    run: Run,
    *,
    strategy: Strategy,
    coder: Coder,
    judge: Judge | None,
    evaluate: Evaluate,
    store: RunStore,
    checkpoints: Path | None,
    ranker: Ranker | None = None,
    cascade: bool = False,
    observer: Observer = ignore,
    clock: Clock = utc_now,
) -> SearchResult:
    """Makes attempts until the rounds are used up, the strategy stops, the coder has nothing new, or the budget is used.

    A run that the store does not have is created; one that has attempts is gone on with, and an attempt that was
    killed in the middle goes on after its last finished node (see `kernelwright.agents.attempt`). Given a
    deterministic coder, judge and evaluation, the outcome is that of a run never stopped. Coders and judges that pay for
    replies are deterministic in this sense, because a reply at the same place of a run is not paid twice.

    Args:
        judge: None, or a strategy that gives it no say: none is asked.
        checkpoints: a SQLite file for attempts in progress; None keeps them in memory, so a killed process loses
            the attempt it was at, and nothing else.
        ranker: for ranked batches; without one they are evaluated in their order.
        cascade: whether a kernel that can't beat the best of the attempts evaluated before it may be let go early, with the
            verdict `outclassed`.

    Events, in order: `RunStarted`; per attempt the coder's stage `write`, with `AttemptStarted` in it as soon as the plan
    is known, the stages of the evaluation, the stage `judge`, `AttemptFinished`; last `RunFinished`, unless it failed.
    Before the attempts of a batch of several: the stage `propose`, and `vote` if it is ranked.
    A coder that has nothing new leaves a stage `write` that was `skipped`, and no attempt.

    Ends with status `finished`, or `interrupted` when the budget does not allow the next call.

    Raises:
        KernelwrightError: the status is then `failed`, with the message.
        KeyboardInterrupt: the status is then `interrupted`.
    """
    attempts: dict[int, Attempt] = {}
    with _status(run, store, attempts, observer) as end:
        _create(store, run)
        attempts |= {attempt.number: attempt for attempt in store.attempts(run.id)}
        store.set_status(run.id, RunStatus.RUNNING)
        observer(RunStarted(run.id, run.task.name, run.rounds, len(attempts)))
        with checkpoints_in(checkpoints) as saver:
            asked = judge if strategy.asks_judge else None
            rounds = _Rounds(
                run, strategy, coder, asked, ranker, evaluate, cascade, store, saver, checkpoints, observer, clock
            )
            try:
                end.message = rounds.make(attempts)
            except BudgetReached as error:
                end.status, end.message = RunStatus.INTERRUPTED, str(error)
    ended = replace(run, status=end.status, message=end.message)
    in_order = tuple(attempts[number] for number in sorted(attempts))
    return SearchResult(ended, in_order, best_attempt(in_order), end.message)


@dataclass(frozen=True)
class _Rounds:
    """The loop over attempts of one search."""

    run: Run
    strategy: Strategy
    coder: Coder
    judge: Judge | None
    ranker: Ranker | None
    evaluate: Evaluate
    cascade: bool
    store: RunStore
    saver: BaseCheckpointSaver[Any]
    checkpoints: Path | None
    observer: Observer
    clock: Clock

    def make(self, attempts: dict[int, Attempt]) -> str:
        """Adds to `attempts`, the finished ones so far by number, what it makes and stores; returns why it stopped."""
        for number in attempts:  # left there when the process was killed just after storing it
            self._forget(number)
        done: list[Attempt] = []
        while len(done) < self.run.rounds:
            batch = self.strategy.plan(done, self.run.rounds - len(done))
            if isinstance(batch, Stop):
                return batch.why
            made = self._make_batch(batch, attempts)
            if not made:
                return "The coder has nothing new to try."
            done += made
        return "The one round is used." if self.run.rounds == 1 else f"All {self.run.rounds} rounds are used."

    def _make_batch(self, batch: Batch, attempts: dict[int, Attempt]) -> list[Attempt]:
        """The attempts of the batch, those made before included."""
        steps = {step.number: step for step in batch.steps}
        missing = [step for step in batch.steps if step.number not in attempts]
        coder: Coder = self.coder
        order = [step.number for step in missing]
        # ranked as a whole also when a part is evaluated already: who pays for the votes must not depend on a kill
        wanted = list(batch.steps) if batch.ranked else missing
        if missing and len(batch.steps) > 1:
            proposals = self._propose(wanted)
            coder = _Proposed(self.coder, proposals, self.coder.name)
            if batch.ranked and self.ranker is not None:
                ranked = self._rank(self.ranker, proposals)
                order = [number for number in ranked if number not in attempts]
        for number in order:
            if len(attempts) >= self.run.rounds:
                break
            attempt = self._make(steps[number], coder, attempts)
            if attempt is None:
                continue
            attempts[number] = attempt  # first: a Ctrl-C while it is stored is raised when it has been
            self.store.add_attempt(attempt)
            self._forget(number)
            in_order = [attempts[n] for n in sorted(attempts)]
            self.observer(_finished(attempt, best=best_attempt(in_order) is attempt))
        return [attempts[step.number] for step in batch.steps if step.number in attempts]

    def _propose(self, steps: Sequence[Step]) -> dict[int, Proposal | None]:
        """All proposals, asked for at once; how many are on their way at a time the model's client says.

        Raises:
            KernelwrightError: of the first that failed, when all have ended. If the budget was reached, those there are.
        """
        started = time.monotonic()
        self.observer(StageStarted("propose"))
        found: dict[int, Proposal | None] = {}
        failed: list[KernelwrightError] = []
        calls = [partial(self.coder.propose, step.history, step.advice, step.turn) for step in steps]
        for step, future in zip(steps, at_once(calls, "propose"), strict=True):
            try:
                found[step.number] = future.result()
            except KernelwrightError as error:
                failed.append(error)
        if failed and not (found and all(isinstance(error, BudgetReached) for error in failed)):
            self.observer(StageFinished("propose", "failed", failed[0].message, time.monotonic() - started))
            raise failed[0]
        summary = f"{len(found)} of {len(steps)} proposals" + (", the budget allows no more" if failed else "")
        self.observer(StageFinished("propose", "passed", summary, time.monotonic() - started))
        return found

    def _rank(self, ranker: Ranker, proposals: Mapping[int, Proposal | None]) -> Sequence[int]:
        there = [(number, proposal) for number, proposal in proposals.items() if proposal is not None]
        started = time.monotonic()
        self.observer(StageStarted("vote"))
        try:
            ranked = ranker.rank(there)
        except BudgetReached as error:  # what is proposed is paid: it is evaluated in the order it came
            self.observer(StageFinished("vote", "skipped", error.message, time.monotonic() - started))
            return [number for number, _ in there]
        except KernelwrightError as error:
            self.observer(StageFinished("vote", "failed", error.message, time.monotonic() - started))
            raise
        order = ", ".join(str(number) for number in ranked)
        self.observer(StageFinished("vote", "passed", f"order of evaluation: {order}", time.monotonic() - started))
        return ranked

    def _make(self, step: Step, coder: Coder, attempts: Mapping[int, Attempt]) -> Attempt | None:
        number, evaluate = step.number, self.evaluate
        # attempts are evaluated in the same order after a kill, so the best before one is the same too
        best = best_attempt(attempts[n] for n in sorted(attempts)) if self.cascade else None
        if best is not None:
            evaluate = partial(self.evaluate, rival=best.evaluation.timing)
        with checkpoints_usable(self.checkpoints):
            result = run_attempt(
                step.turn,
                step.history,
                step.advice,
                coder,
                self.judge,
                evaluate,
                self.saver,
                self._thread(number),
                self.observer,
                on_plan=partial(self._started, number),
            )
        if result is None:
            self._forget(number)
            return None
        return self._attempt(number, result)

    def _started(self, number: int, plan: str) -> None:
        self.observer(AttemptStarted(self.run.id, number, plan))

    def _attempt(self, number: int, result: AttemptResult) -> Attempt:
        return Attempt(
            run_id=self.run.id,
            number=number,
            plan=result.plan,
            kernel=result.kernel,
            evaluation=result.evaluation,
            advice=result.advice,
            created=self.clock(),
            seconds=result.seconds,
            notes=result.notes,
        )

    def _thread(self, number: int) -> str:
        return f"{self.run.id}:{number}"

    def _forget(self, number: int) -> None:
        with checkpoints_usable(self.checkpoints):
            self.saver.delete_thread(self._thread(number))


@dataclass
class _Proposed:
    """A coder whose proposals are there already; a number that is not there is the budget's doing."""

    coder: Coder
    proposals: Mapping[int, Proposal | None]
    name: str

    def propose(self, history: tuple[PastAttempt, ...], advice: Advice | None, turn: Turn) -> Proposal | None:
        if turn.number in self.proposals:
            return self.proposals[turn.number]
        return self.coder.propose(history, advice, turn)


class _End:
    """Filled in by a search that ends by itself."""

    message = ""
    status = RunStatus.FINISHED


@contextmanager
def _status(run: Run, store: RunStore, attempts: Mapping[int, Attempt], observer: Observer) -> Iterator[_End]:
    """Sets the run's status by how the block ends."""

    def finished(status: RunStatus) -> RunFinished:
        return RunFinished(run.id, status.value, len(attempts), sum(a.evaluation.passed for a in attempts.values()))

    end = _End()
    try:
        yield end
        store.set_status(run.id, end.status, end.message)
    except KeyboardInterrupt:
        _try_status(store, run.id, RunStatus.INTERRUPTED, f"Stopped after {len(attempts)} of {run.rounds} rounds.")
        observer(finished(RunStatus.INTERRUPTED))
        raise
    except KernelwrightError as error:
        _try_status(store, run.id, RunStatus.FAILED, str(error))
        raise
    except Exception as error:
        _try_status(store, run.id, RunStatus.FAILED, f"A bug of ours: {type(error).__name__}: {error}")
        raise
    observer(finished(end.status))


def _try_status(store: RunStore, run_id: str, status: RunStatus, message: str) -> None:
    try:
        store.set_status(run_id, status, message)
    except NotFoundError:
        _log.debug("run %s ended before it was stored", run_id)
    except StoreError as error:  # what is being raised matters more; `running` can be resumed as well
        _log.warning("the status of run %s could not be stored: %s", run_id, error)


def _create(store: RunStore, run: Run) -> None:
    with suppress(NotFoundError):
        if store.run(run.id).id == run.id:
            return
    store.create_run(run)


def _advice_words(advice: Advice | None) -> str:
    """What the judge says, and who said it in its place if it could not."""
    if advice is None:
        return ""
    note = str(advice.evidence.get("note", ""))
    return f"{advice.change} ({note})" if note.startswith("by the ") else advice.change


def _finished(attempt: Attempt, *, best: bool) -> AttemptFinished:
    evaluation = attempt.evaluation
    timing = evaluation.timing
    return AttemptFinished(
        run_id=attempt.run_id,
        number=attempt.number,
        verdict=evaluation.verdict.value,
        reason=evaluation.reason,
        seconds=None if timing is None else timing.seconds,
        kind=None if timing is None else timing.kind.value,
        speedup=None if timing is None else timing.speedup,
        advice=_advice_words(attempt.advice),
        best=best,
    )
