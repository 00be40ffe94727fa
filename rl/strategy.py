"""What every search strategy is, takes and gives; `kernelwright.rl.refine` is the first one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from kernelwright.agents.attempt import Evaluate
from kernelwright.agents.protocols import Coder, Judge
from kernelwright.events import Observer, ignore
from kernelwright.rl.run import Attempt, Run, RunStore
from kernelwright.verifier.evaluation import TimingKind

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
    """The attempt with the lowest time among those that passed, the earlier one of equals; None when none passed.

    Times of different kinds are not compared: a measured one comes before every modelled one.
    """

    def key(attempt: Attempt) -> tuple[bool, float, int]:
        timing = attempt.evaluation.timing
        assert timing is not None, "a passed evaluation has a timing"
        return timing.kind is not TimingKind.MEASURED, timing.seconds, attempt.number

    return min((a for a in attempts if a.evaluation.passed), key=key, default=None)
