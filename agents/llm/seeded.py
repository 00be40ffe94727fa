"""Seeded: one coder for the first attempts, another for the rest."""

from __future__ import annotations

from kernelwright.agents.protocols import Advice, Coder, PastAttempt, Proposal, Turn
from kernelwright.errors import LoweringError

__all__ = ["Seeded"]


class Seeded:
    """A Coder that lets `first` make the attempts 1 to `count`, and `then` all others; `then` steps in wherever `first` has
    nothing new or can write nothing. Whom the turn names counts for `then`: kernels say who wrote them.

    Args:
        first: as a rule the built-in coder; None where it could not be made, because nothing of the module can be lowered.
    """

    def __init__(self, first: Coder | None, then: Coder, count: int) -> None:
        self.first, self.then, self.count = first, then, count
        self.name = then.name if first is None or count < 1 else f"{first.name}, then {then.name}"

    def propose(self, history: tuple[PastAttempt, ...], advice: Advice | None, turn: Turn) -> Proposal | None:
        """As `Coder.propose`; raises what the two raise, but for the first one's LoweringError."""
        if self.first is not None and turn.number <= self.count:
            try:
                proposal = self.first.propose(history, advice, turn)
            except LoweringError:
                proposal = None
            if proposal is not None:
                return proposal
        return self.then.propose(history, advice, turn)
