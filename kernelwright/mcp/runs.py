"""Runs that a client leads: it decides what to try, each submission is an attempt of the run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime

from kernelwright.agents.builtin.judge import RooflineJudge
from kernelwright.agents.protocols import Advice, PastAttempt
from kernelwright.bench_tasks.task import Task
from kernelwright.db.lookup import Kind
from kernelwright.db.store import Store
from kernelwright.errors import KernelwrightError, MisuseError, NotFoundError
from kernelwright.events import Observer
from kernelwright.jobs import utc_now
from kernelwright.mcp.answers import RunState, Submitted, judged
from kernelwright.mcp.bench import Bench
from kernelwright.rl.ids import new_run_id
from kernelwright.rl.run import Attempt, Run, RunStatus
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation
from kernelwright.words import one_line

__all__ = ["MOST_ATTEMPTS", "STRATEGY", "Runs", "advise"]

_log = logging.getLogger(__name__)

STRATEGY = "mcp"
MOST_ATTEMPTS = 1000
_AUTHOR_LENGTH = 80
_PLAN_LENGTH = 500


def advise(bench: Bench, attempt: PastAttempt, history: tuple[PastAttempt, ...] = ()) -> Advice:
    """What the roofline judge says of an attempt."""
    return RooflineJudge(bench.target.gpu, {}).advise(attempt, history)


class Runs:
    """The runs of this server, kept in a store.

    Args:
        author: whose name attempts bear where a client gives none.
        clock: tells the time, aware.
    """

    def __init__(self, store: Store, bench: Bench, author: str, clock: Callable[[], datetime] = utc_now) -> None:
        self._store, self._bench, self._author, self._clock = store, bench, author, clock
        self._touched: set[str] = set()
        self._lock = threading.Lock()

    def start(self, task: Task, author: str, attempts: int) -> RunState:
        """A new run, for at most `attempts` submissions.

        Raises:
            MisuseError: no number of attempts that can be.
        """
        if not 1 <= attempts <= MOST_ATTEMPTS:
            raise MisuseError(f"a run of {attempts} attempts can't be.", mend=f"Ask for 1 to {MOST_ATTEMPTS} attempts.")
        target = self._bench.target
        run = Run(
            id=new_run_id(task.name),
            task=task,
            strategy=STRATEGY,
            coder=self.author(author),
            judge=RooflineJudge.name,
            device=target.device.kind,
            gpu=target.gpu.name,
            rounds=attempts,
            status=RunStatus.RUNNING,
            created=self._clock(),
        )
        self._store.create_run(run)
        with self._lock:
            self._touched.add(run.id)
        return self.state(run.id)

    def author(self, given: str) -> str:
        """The name that goes into the store."""
        return one_line(given, _AUTHOR_LENGTH) or self._author

    def open(self, run_id: str) -> Run:
        """A run that can be submitted to; its status is `running` from then on.

        Raises:
            NotFoundError: there is none.
            MisuseError: it is finished, no run of a client, or was judged for another GPU or device.
        """
        run = self._store.run(run_id)
        if run.strategy != STRATEGY:
            raise MisuseError(
                f"run {run.id} is a search of its own ({run.strategy}): nothing can be submitted to it.",
                mend="Begin a run with start_run.",
            )
        if run.status is RunStatus.FINISHED:
            raise MisuseError(f"run {run.id} is finished.", mend="Begin another one with start_run.")
        target = self._bench.target
        if (run.gpu, run.device) != (target.gpu.name, target.device.kind):
            raise MisuseError(
                f"run {run.id} is for {run.gpu} on device {run.device}; this server judges for {target.gpu.name} on "
                f"{target.device.kind}.",
                mend="Begin another one with start_run: times of different GPUs are not compared.",
            )
        if run.status is not RunStatus.RUNNING:
            self._store.set_status(run.id, RunStatus.RUNNING)
        with self._lock:
            self._touched.add(run.id)
        return run

    def kernel(self, run: Run, source: str, parent: int | str | None) -> Kernel:
        """What is submitted, with where it came from.

        Args:
            parent: number of an attempt of the run, or id of a stored kernel.

        Raises:
            NotFoundError: no such attempt or kernel.
        """
        parents: tuple[str, ...] = ()
        number = int(parent) if isinstance(parent, str) and parent.isdecimal() and len(parent) < 5 else parent
        if isinstance(number, int):
            found = [attempt for attempt in self._store.attempts(run.id) if attempt.number == number]
            if not found:
                raise NotFoundError(
                    f"run {run.id} has no attempt {number}.", mend="Give the number of an earlier attempt, or null."
                )
            parents = (found[0].kernel.id,)
        elif number:
            parents = (self._store.find(number, (Kind.KERNEL,)).id,)
        return Kernel(source=source, author=run.coder, parents=parents)

    def submit(self, run: Run, kernel: Kernel, plan: str, observer: Observer) -> Submitted:
        """Judges and stores the next attempt; in the judging thread, so that no two get one number.

        Raises:
            MisuseError: all attempts are used.
            TaskError: the reference does not run.
        """
        history = self._store.attempts(run.id)
        if len(history) >= run.rounds:
            raise MisuseError(
                f"all {run.rounds} attempts of run {run.id} are used.", mend="Begin another one with start_run."
            )
        began = self._clock()
        evaluation = self._bench.judge(run.task, kernel, observer)
        attempt = self._attempt(run, kernel, plan, evaluation, history, began)
        evaluation_id = self._store.add_evaluation(run.task, kernel, evaluation)
        self._store.add_attempt(attempt)
        if attempt.number == run.rounds:
            self.finish(run.id, "All attempts are used." if run.rounds > 1 else "The one attempt is used.")
        best = self._store.best(run.id)
        assert attempt.advice is not None
        return Submitted(
            number=attempt.number,
            best=best is not None and best.number == attempt.number,
            state=self.state(run.id),
            judged=judged(run.task, kernel, evaluation, evaluation_id, attempt.advice),
        )

    def _attempt(
        self, run: Run, kernel: Kernel, plan: str, evaluation: Evaluation, history: list[Attempt], began: datetime
    ) -> Attempt:
        past = tuple(PastAttempt(a.number, a.kernel, a.evaluation, a.advice) for a in history)
        number, now = len(history) + 1, self._clock()
        return Attempt(
            run_id=run.id,
            number=number,
            plan=one_line(plan, _PLAN_LENGTH) or "(no plan was given)",
            kernel=kernel,
            evaluation=evaluation,
            advice=advise(self._bench, PastAttempt(number, kernel, evaluation), past),
            created=now,
            seconds=max(0.0, (now - began).total_seconds()),
        )

    def finish(self, run_id: str, message: str) -> None:
        """Says that nothing more comes."""
        self._store.set_status(run_id, RunStatus.FINISHED, message)
        with self._lock:
            self._touched.discard(run_id)

    def state(self, run_id: str) -> RunState:
        """Where the run stands."""
        run = self._store.run(run_id)
        best, attempts = self._store.best(run.id), self._store.attempts(run.id)
        return RunState(
            run=run.id,
            task=run.task.name,
            status=run.status.value,
            attempts=len(attempts),
            attempts_left=0 if run.status is RunStatus.FINISHED else run.rounds - len(attempts),
            best_attempt=None if best is None else best.number,
        )

    def leave(self) -> None:
        """Marks the runs that are still open as interrupted: a later server goes on with them."""
        with self._lock:
            left, self._touched = self._touched, set()
        for run_id in sorted(left):
            try:
                made = len(self._store.attempts(run_id))
                self._store.set_status(run_id, RunStatus.INTERRUPTED, f"The client left after {made} attempts.")
            except KernelwrightError as error:  # at the end nobody is left to tell
                _log.warning("the status of run %s could not be stored: %s", run_id, error)
