"""How far a run of a suite is: what came of each item, counts, what it cost, how long the rest may take."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from kernelwright.bench.events import BenchEvent, BenchStarted, ItemEnded, ItemSaid, ItemStarted
from kernelwright.bench_tasks.scoring.results import Trial
from kernelwright.db.bench import BenchItem, ItemStatus
from kernelwright.events import AttemptStarted, StageStarted

__all__ = ["Progress", "Result", "counts_of", "result_of"]


class Result(StrEnum):
    """What came of an item, in the order in which it is counted for people."""

    SOLVED = "solved"
    """A kernel passed."""
    UNSOLVED = "not solved"
    """Kernels were written, and none passed."""
    UNWRITTEN = "not written"
    """It ended, and no kernel was judged."""
    STOPPED = "stopped"
    """It is to be gone on with."""
    RUNNING = "running"
    WAITING = "not run"


def result_of(item: BenchItem, trial: Trial) -> Result:
    """What came of it so far."""
    open_states = {
        ItemStatus.WAITING: Result.WAITING, ItemStatus.RUNNING: Result.RUNNING, ItemStatus.STOPPED: Result.STOPPED,
    }  # fmt: skip
    if not item.status.ended:
        return open_states[item.status]
    if trial.solved:
        return Result.SOLVED
    return Result.UNSOLVED if trial.attempts else Result.UNWRITTEN


def counts_of(pairs: Iterable[tuple[BenchItem, Trial]]) -> dict[Result, int]:
    """How many items each result has; those that none has are left out."""
    found = Counter(result_of(item, trial) for item, trial in pairs)
    return {result: found[result] for result in Result if found[result]}


@dataclass
class Progress:
    """An observer that keeps count.

    Args:
        clock: in seconds.
    """

    clock: Callable[[], float] = time.monotonic
    total: int = 0
    jobs: int = 1
    running: dict[int, tuple[BenchItem, str]] = field(default_factory=dict)
    """Items under way, by position, and what they are at."""
    results: dict[int, Result] = field(default_factory=dict)
    """Of the items that have ended or were stopped, by position."""
    dollars: Decimal = Decimal(0)
    _costs: dict[tuple[str, int], Decimal] = field(default_factory=dict)
    _began: float = 0.0
    _took: list[float] = field(default_factory=list)
    _since: dict[int, float] = field(default_factory=dict)
    _round: dict[int, int] = field(default_factory=dict)

    def __call__(self, event: BenchEvent) -> None:
        """Takes the event into account."""
        match event:
            case BenchStarted(items=items, trials=trials, jobs=jobs):
                self._began, self.total, self.jobs = self.clock(), len(items), jobs
                by_name: Mapping[tuple[str, int], Trial] = {(t.task, t.repeat): t for t in trials}
                for item in items:
                    if (trial := by_name.get((item.name, item.repeat))) is not None:
                        self.results[item.position] = result_of(item, trial)
                        self._paid(trial)
            case ItemStarted(item=item):
                self.running[item.position] = item, "starting"
                self._since[item.position] = self.clock()
            case ItemSaid(item=item, event=AttemptStarted(number=number)):
                self._round[item.position] = number
            case ItemSaid(item=item, event=StageStarted(stage=stage)):
                begun = self._round.get(item.position)
                self.running[item.position] = item, stage if begun is None else f"round {begun}, {stage}"
            case ItemEnded(item=item, trial=trial):
                self.running.pop(item.position, None)
                self.results[item.position] = result_of(item, trial)
                self._took.append(self.clock() - self._since.pop(item.position, self._began))
                self._round.pop(item.position, None)
                self._paid(trial)

    def _paid(self, trial: Trial) -> None:
        self._costs[trial.task, trial.repeat] = trial.dollars
        self.dollars = sum(self._costs.values(), Decimal(0))

    @property
    def ended(self) -> int:
        """Items for which nothing is left to do."""
        return sum(result not in {Result.STOPPED, Result.WAITING} for result in self.results.values())

    @property
    def counts(self) -> dict[Result, int]:
        """Items by result."""
        found = Counter(self.results[position] for position in self.results if position not in self.running)
        found[Result.RUNNING] = len(self.running)
        return {result: found[result] for result in Result if found[result]}

    @property
    def elapsed(self) -> float:
        """Seconds since it began or was gone on with."""
        return self.clock() - self._began

    @property
    def seconds_left(self) -> float | None:
        """An estimate, from the mean of the items that have ended in this time; None before the first."""
        left = self.total - self.ended
        if not self._took or left <= 0:
            return None
        return sum(self._took) / len(self._took) * left / max(1, min(self.jobs, left))
