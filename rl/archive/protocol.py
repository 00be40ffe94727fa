"""What evolution needs from an archive; `kernelwright.db.archive` keeps it in the database.

An archive holds judged kernels of one task for one GPU and one kind of time: measured and modelled times are never ranked
together. It has islands, each a MAP-Elites grid over features of kernels. Runs of several processes may share one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from kernelwright.agents.protocols import PastAttempt
from kernelwright.rl.bandit import Outcome
from kernelwright.rl.operators import Operator
from kernelwright.rl.run import Attempt

__all__ = ["Archive", "Draw", "Standing"]


@dataclass(frozen=True)
class Standing:
    """What an island has to offer, for who chooses an operator; counts are of different kernels."""

    island: int
    passed: int
    failed: int
    best_seconds: float | None
    """Of the island, None while nothing passed."""
    since_gain: int
    """Attempts of the island since its best time last improved noticeably (`agents.ranking.NOTICEABLE`)."""


@dataclass(frozen=True)
class Draw:
    """What one attempt of a run starts from. Stored before its kernel is asked for, so that a resumed run asks the same."""

    run_id: str
    number: int
    """Of the attempt."""
    island: int
    operator: Operator
    author: str
    """Which coder is asked; see `Turn.author`."""
    parents: tuple[PastAttempt, ...] = ()
    """The first is `Turn.parent`, the rest `Turn.others`. Their numbers are those of the runs they were made in."""
    notes: tuple[str, ...] = field(default=())
    """In words, for people: `migrated from island 2`, `stagnant: drawn from another cell`."""


class Archive(Protocol):
    """Judged kernels and what is drawn from them. Every call is one transaction, safe beside other processes."""

    @property
    def islands(self) -> int:
        """How many it has; they are counted from 0."""
        ...

    def absorb(self, attempts: Sequence[Attempt]) -> None:
        """Takes in the attempts that it does not have yet, failures included; idempotent by run and number."""
        ...

    def standing(self, island: int) -> Standing:
        """What the island has to offer."""
        ...

    def outcomes(self) -> Sequence[Outcome]:
        """What the latest attempts that were drawn here gained and cost, of all runs, oldest first."""
        ...

    def drawn(self, run_id: str, number: int) -> Draw | None:
        """The draw that was made for this attempt, if one was."""
        ...

    def draw(self, run_id: str, number: int, island: int, operator: Operator, author: str, seed: str) -> Draw:
        """Draws parents for the attempt, or gives back the draw that was made for it before.

        Deterministic: the same content and `seed` give the same parents. Under 10 ms with 100,000 attempts.
        """
        ...
