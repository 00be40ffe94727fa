"""What every search strategy is, takes and gives; `kernelwright.rl.refine` is the first one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from kernelwright.agents.attempt import Evaluate
from kernelwright.agents.protocols import Coder, Judge
from kernelwright.agents.ranking import fastest
from kernelwright.events import Observer, ignore
from kernelwright.rl.run import Attempt, Run, RunStore

__all__ = ["Clock", "SearchResult", "Strategy", "best_attempt", "utc_now"]

Clock = Callable[[], datetime]
"""Tells the time, aware."""


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class SearchResult:
    """A search that came to its end."""

    run: Run
    """As stored, with its final status."""
    attempts: tuple[Attempt, ...]
    best: Attempt | None
    """See `best_attempt`."""
    stopped_because: str
    """One sentence."""


class Strategy(Protocol):
    """Spends a run's rounds on attempts, each stored as soon as it is finished.

    A run that has attempts is gone on with. Ends with status `finished`; with `interrupted` and the exception raised
    again on KeyboardInterrupt; with `failed` and the exception raised again on an error.
    """

    def __call__(
        self,
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
        """Searches.

        Args:
            checkpoints: a SQLite file for attempts in progress; None keeps them in memory, so a killed process loses
                the attempt it was at, and nothing else.
        """
        ...


def best_attempt(attempts: Iterable[Attempt]) -> Attempt | None:
    """The fastest of the attempts (oldest first) that passed, as `agents.ranking.fastest` says; None when none did."""
    timed = ((a, a.evaluation.timing) for a in attempts if a.evaluation.passed)
    return fastest((a, timing.kind, timing.seconds) for a, timing in timed if timing is not None)
