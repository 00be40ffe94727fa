"""The built-in coder drawing at random: for strategies whose proposals must differ by chance, without a language model."""

from __future__ import annotations

import random

from kernelwright.agents.builtin.coder import BuiltinCoder
from kernelwright.agents.builtin.space import Choice
from kernelwright.agents.protocols import Advice, PastAttempt, Proposal, Turn

__all__ = ["BuiltinSampler"]

_TRIES = 64
"""Draws before it is taken that nothing new is left near."""
_MOST_CHANGES = 2
"""Knobs that a draw changes in its parent at most, besides what must follow to keep the kernel legal."""


class BuiltinSampler:
    """A Coder that draws the knobs of the built-in templates: all of them, or one or two of its parent's.

    Which ones it draws depends on the seed and on the number of the attempt, and on nothing else, so that the proposals of a
    round can be asked for in any order and a resumed run draws the same.
    """

    name = "builtin"

    def __init__(self, coder: BuiltinCoder, seed: str) -> None:
        self._coder = coder
        self._seed = seed

    def propose(self, history: tuple[PastAttempt, ...], advice: Advice | None, turn: Turn) -> Proposal | None:
        """A kernel that is none of `history`; None when the draws find no other."""
        rng = random.Random(f"{self._seed}/{turn.number}")
        tried = {attempt.kernel.id for attempt in history}
        parent = turn.parent
        base: Choice = dict(self._coder.defaults)
        if parent is not None:
            base |= {k: v for k, v in parent.kernel.parameters.items() if k in base}
        for _ in range(_TRIES):
            choice = self._drawn(base, rng, everything=parent is None)
            proposal = self._coder.proposal(
                choice, () if parent is None else (parent.kernel.id,), base if parent else None, "drawn at random"
            )
            if proposal.kernel.id not in tried:
                return proposal
        return None

    def _drawn(self, base: Choice, rng: random.Random, *, everything: bool) -> Choice:
        space = self._coder.space
        if not space:
            return dict(base)
        names = sorted(space)
        few = len(names) if everything else rng.randint(1, min(_MOST_CHANGES, len(names)))
        choice = dict(base)
        for name in rng.sample(names, few):
            # one after another: what a drawn value makes illegal is mended before the next one is drawn
            choice = self._coder.changed(choice, {name: rng.choice(space[name])}) or choice
        return choice
