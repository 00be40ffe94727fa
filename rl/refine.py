"""The strategy `refine`: one kernel after another, each written with the judge's advice on the one before."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelwright.agents.attempt import AttemptResult, Evaluate, run_attempt
from kernelwright.agents.checkpoint import checkpoints_in, checkpoints_usable
from kernelwright.agents.protocols import Coder, Judge, PastAttempt, Turn
from kernelwright.errors import KernelwrightError, NotFoundError, StoreError
from kernelwright.events import AttemptFinished, AttemptStarted, Observer, RunFinished, RunStarted, ignore
from kernelwright.rl.run import Attempt, Run, RunStatus, RunStore
from kernelwright.rl.strategy import Clock, SearchResult, Strategy, best_attempt, utc_now

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

__all__ = ["search"]

_log = logging.getLogger(__name__)


def search(
    run: Run,
    *,
    coder: Coder,
    judge: Judge,
    evaluate: Evaluate,
    store: RunStore,
    checkpoints: Path | None,
    observer: Observer = ignore,
    clock: Clock = utc_now,
) -> SearchResult:
    """Makes attempts until the rounds are used up, the judge says stop, or the coder has nothing new.

    A run that the store does not have is created; one that has attempts is gone on with, and an attempt that was
    killed in the middle goes on after its last finished node (see `kernelwright.agents.attempt`). Given a
    deterministic coder, judge and evaluation, the outcome is that of a run never stopped.

    Events, in order: `RunStarted`; per attempt the coder's stage `write`, with `AttemptStarted` in it as soon as the plan
    is known, the stages of the evaluation, the stage `judge`, `AttemptFinished`; last `RunFinished`, unless it failed.
    A coder that has nothing new leaves a stage `write` that was `skipped`, and no attempt.

    Raises:
        KernelwrightError: the status is then `failed`, with the message.
        KeyboardInterrupt: the status is then `interrupted`.
    """
    attempts: list[Attempt] = []
    with _status(run, store, attempts, observer) as end:
        _create(store, run)
        attempts += store.attempts(run.id)
        store.set_status(run.id, RunStatus.RUNNING)
        observer(RunStarted(run.id, run.task.name, run.rounds, len(attempts)))
        with checkpoints_in(checkpoints) as saver:
            rounds = _Rounds(run, coder, judge, evaluate, store, saver, checkpoints, observer, clock)
            end.message = rounds.make(attempts)
    ended = replace(run, status=RunStatus.FINISHED, message=end.message)
    return SearchResult(ended, tuple(attempts), best_attempt(attempts), end.message)


@dataclass(frozen=True)
class _Rounds:
    """The loop over attempts of one search."""

    run: Run
    coder: Coder
    judge: Judge
    evaluate: Evaluate
    store: RunStore
    saver: BaseCheckpointSaver[Any]
    checkpoints: Path | None
    observer: Observer
    clock: Clock

    def make(self, attempts: list[Attempt]) -> str:
        """Appends to `attempts`, the finished ones so far, what it makes and stores; returns why it stopped."""
        for attempt in attempts:  # left there when the process was killed just after storing it
            self._forget(attempt.number)
        while len(attempts) < self.run.rounds:
            advice = attempts[-1].advice if attempts else None
            if advice is not None and advice.mode == "stop":
                return f"The judge sees nothing left worth trying: {advice.change}"
            number = len(attempts) + 1
            history = tuple(PastAttempt(a.number, a.kernel, a.evaluation, a.advice) for a in attempts)
            with checkpoints_usable(self.checkpoints):
                result = run_attempt(
                    Turn(number, history[-1] if history else None),
                    history,
                    advice,
                    self.coder,
                    self.judge,
                    self.evaluate,
                    self.saver,
                    self._thread(number),
                    self.observer,
                    on_plan=partial(self._started, number),
                )
            if result is None:
                self._forget(number)
                return "The coder has nothing new to try."
            attempt = self._attempt(number, result)
            attempts.append(attempt)  # first: a Ctrl-C while it is stored is raised when it has been
            self.store.add_attempt(attempt)
            self._forget(number)
            self.observer(_finished(attempt, best=best_attempt(attempts) is attempt))
        return "The one round is used." if self.run.rounds == 1 else f"All {self.run.rounds} rounds are used."

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


class _End:
    """Filled in by a search that ends by itself."""

    message = ""


@contextmanager
def _status(run: Run, store: RunStore, attempts: list[Attempt], observer: Observer) -> Iterator[_End]:
    """Sets the run's status by how the block ends."""

    def finished(status: RunStatus) -> RunFinished:
        return RunFinished(run.id, status.value, len(attempts), sum(a.evaluation.passed for a in attempts))

    end = _End()
    try:
        yield end
        store.set_status(run.id, RunStatus.FINISHED, end.message)
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
    observer(finished(RunStatus.FINISHED))


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
        advice="" if attempt.advice is None else attempt.advice.change,
        best=best,
    )


if TYPE_CHECKING:
    _search_is_a_strategy: Strategy = search
