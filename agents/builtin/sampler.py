"""The built-in coder drawing its parameters: for strategies whose proposals must differ by chance, without a language model."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from kernelwright.agents.builtin.coder import BuiltinCoder
from kernelwright.agents.builtin.drawing import Drawer, RandomDrawer
from kernelwright.agents.builtin.knobs import own_choice
from kernelwright.agents.builtin.space import Choice, Value
from kernelwright.agents.protocols import Advice, PastAttempt, Proposal, Turn

__all__ = ["BuiltinSampler"]

TRIES = 64
"""Draws before it is taken that nothing new is left near."""
_LEARNED = 8
"""Of these, the draws that are asked of a drawer that learns; it may insist on what was tried."""
_MOST_CHANGES = 2
"""Knobs that a draw at random changes in its parent at most, besides what must follow to keep the kernel legal."""


class BuiltinSampler:
    """A Coder that draws the knobs of the built-in templates: all of them, or of a parent, if it draws at random, one or two.

    Which ones it draws depends on the seed, the number of the attempt and, if the drawer learns, on the history; on nothing
    else, so that the proposals of a round can be asked for in any order and a resumed run draws the same.

    Args:
        drawer: at random by default.
    """

    name = "builtin"

    def __init__(self, coder: BuiltinCoder, seed: str, drawer: Drawer | None = None) -> None:
        self._coder = coder
        self._seed = seed
        self.drawer = drawer or RandomDrawer(coder)
        self._random = RandomDrawer(coder)

    def propose(self, history: tuple[PastAttempt, ...], advice: Advice | None, turn: Turn) -> Proposal | None:
        """A kernel that is none of `history`; None when the draws find no other."""
        rng = random.Random(f"{self._seed}/{turn.number}")
        parent = turn.parent
        own = own_choice(parent, self._coder.defaults)
        base = own or dict(self._coder.defaults)
        space = self._coder.space
        few = parent is not None and not self.drawer.learns
        most = _MOST_CHANGES if few else len(space)
        return self.drawn(base, space, history, rng, parent if own else None, most=most)

    def drawn(
        self,
        base: Mapping[str, Value],
        free: Mapping[str, tuple[Value, ...]],
        history: tuple[PastAttempt, ...],
        rng: random.Random,
        parent: PastAttempt | None,
        *,
        most: int,
        why: str = "",
        fits: Callable[[Choice], bool] = lambda _choice: True,
    ) -> Proposal | None:
        """A kernel whose free knobs are drawn, none of `history`; None when the draws find no other.

        Args:
            parent: the attempt that `base` is the choice of.
            most: knobs of the free ones that are drawn: all of them, if there are no more, else between one and so many.
            why: how it came about, for its plan.
            fits: whether a choice will do; what makes a drawn value legal may change knobs that were not to be drawn.
        """
        tried = {attempt.kernel.id for attempt in history} | ({parent.kernel.id} if parent else set())
        parents = () if parent is None else (parent.kernel.id,)
        for turn in range(TRIES):
            drawer = self.drawer if turn < _LEARNED else self._random
            # the more knobs a draw changes, the more must follow: if all of them never fit, a few do
            top = min(most, _MOST_CHANGES) if parent is not None and turn >= _LEARNED else most
            few = len(free) if top >= len(free) else rng.randint(1, top)
            names = rng.sample(sorted(free), few)
            choice = drawer.draw(base, {name: free[name] for name in names}, history, rng)
            if not fits(choice):
                continue
            told = why or ("drawn at random" if drawer.name == "random" else f"drawn by {drawer.name}")
            proposal = self._coder.proposal(choice, parents, dict(base) if parent else None, told)
            if proposal.kernel.id not in tried:
                return proposal
        return None
