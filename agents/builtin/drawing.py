"""Drawing parameters: what every sampler of the built-in coder is, and the one that draws at random."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Protocol

from kernelwright.agents.builtin.coder import BuiltinCoder
from kernelwright.agents.builtin.space import Choice, Value
from kernelwright.agents.protocols import PastAttempt

__all__ = ["Drawer", "RandomDrawer"]


class Drawer(Protocol):
    """Draws parameters of the built-in templates. Holds nothing of the run: all that it learns from is in `history`."""

    name: str
    """As the setting `sampler` has it."""
    learns: bool
    """Whether it looks at the history: then it draws many knobs at once, else few of a parent that is good already."""

    def draw(
        self,
        base: Mapping[str, Value],
        free: Mapping[str, tuple[Value, ...]],
        history: Sequence[PastAttempt],
        rng: random.Random,
    ) -> Choice:
        """A legal choice: `base` with the free parameters drawn anew.

        The same arguments and state of `rng` give the same choice; no other source of chance is touched.

        Args:
            base: a legal choice of every parameter.
            free: what may be drawn; other parameters change only as far as the drawn ones ask for it to be legal.
            history: earlier attempts in their order; those of other authors say nothing here.
        """
        ...


class RandomDrawer:
    """Every value of a parameter as likely as any other."""

    name = "random"
    learns = False

    def __init__(self, coder: BuiltinCoder) -> None:
        self._coder = coder

    def draw(
        self,
        base: Mapping[str, Value],
        free: Mapping[str, tuple[Value, ...]],
        history: Sequence[PastAttempt],
        rng: random.Random,
    ) -> Choice:
        """See `Drawer`."""
        names = sorted(free)
        choice = dict(base)
        for name in rng.sample(names, len(names)):
            # one after another: what a drawn value makes illegal is mended before the next one is drawn
            choice = self._coder.changed(choice, {name: rng.choice(free[name])}) or choice
        return choice
