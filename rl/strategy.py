"""What every strategy is: it decides from the attempts made which ones to make next, and starts nothing itself.

`kernelwright.rl.search` carries the decisions out, `kernelwright.rl.strategies` has the strategies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from kernelwright.agents.protocols import Advice, PastAttempt, Turn
from kernelwright.agents.ranking import fastest
from kernelwright.rl.run import Attempt

__all__ = ["Batch", "Step", "Stop", "Strategy", "best_attempt", "next_number", "past"]


@dataclass(frozen=True)
class Step:
    """One attempt to make."""

    turn: Turn
    history: tuple[PastAttempt, ...] = ()
    """What coder and judge are shown of the run, in the order that it is shown in."""
    advice: Advice | None = None
    """The judge's, on `turn.parent`."""

    @property
    def number(self) -> int:
        """1-based number of the attempt; those of a run differ, and need not follow one another."""
        return self.turn.number


@dataclass(frozen=True)
class Batch:
    """Attempts that do not depend on one another: their kernels may be asked for at once."""

    steps: tuple[Step, ...]
    ranked: bool = False
    """Whether verifiers vote on the proposals first, and the most promising are evaluated before the others."""


@dataclass(frozen=True)
class Stop:
    """Nothing more to do."""

    why: str
    """One sentence."""


class Strategy(Protocol):
    """Spends a run's attempts. Holds no state: a run that is gone on with asks the same questions again."""

    name: str
    asks_judge: bool
    """Whether a judge is asked after each attempt; those that give it no say do not pay for it."""

    def plan(self, done: Sequence[Attempt], left: int) -> Batch | Stop:
        """The next attempts.

        Args:
            done: the attempts of all earlier batches as they ended, in the order of their numbers.
            left: how many more the run may make, at least 1; an unranked batch need not be larger.
        """
        ...


def past(attempts: Iterable[Attempt]) -> tuple[PastAttempt, ...]:
    """Attempts as coder and judge see them."""
    return tuple(PastAttempt(a.number, a.kernel, a.evaluation, a.advice, a.plan) for a in attempts)


def next_number(attempts: Iterable[Attempt]) -> int:
    """The number after all of theirs; a proposal that was never evaluated leaves a gap."""
    return max((a.number for a in attempts), default=0) + 1


def best_attempt(attempts: Iterable[Attempt]) -> Attempt | None:
    """The fastest of the attempts (oldest first) that passed, as `agents.ranking.fastest` says; None when none did."""
    timed = ((a, a.evaluation.timing) for a in attempts if a.evaluation.passed)
    return fastest((a, timing.kind, timing.seconds) for a, timing in timed if timing is not None)
