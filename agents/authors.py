"""Several coders in one run: each turn is handed to the one that it names, and each sees what is for it to see."""

from __future__ import annotations

from collections.abc import Mapping

from kernelwright.agents.protocols import Advice, Coder, PastAttempt, Proposal, Turn
from kernelwright.errors import ConfigError

__all__ = ["Authors", "BeginningOnly"]


class Authors:
    """A Coder that hands a turn to the coder named by `turn.author`; where none is named, the coders take turns by the number of
    the attempt, so that a run that is gone on with asks the same ones.

    Args:
        coders: by the name that turns have for them; at least one, the first makes the first attempt.

    Raises:
        ConfigError: there is no coder.
    """

    def __init__(self, coders: Mapping[str, Coder]) -> None:
        if not coders:
            raise ConfigError("a run needs a coder.", mend="Name one with --model or --author.")
        self._coders = dict(coders)
        self.name = " + ".join(self._coders)

    def propose(self, history: tuple[PastAttempt, ...], advice: Advice | None, turn: Turn) -> Proposal | None:
        """As `Coder.propose`, by the coder whose turn it is.

        Raises:
            ConfigError: the turn names a coder that the run does not have.
        """
        names = tuple(self._coders)
        name = turn.author or names[(turn.number - 1) % len(names)]
        if name not in self._coders:
            raise ConfigError(f"the run has no coder called {name!r}.", mend=f"It has {', '.join(names)}.")
        return self._coders[name].propose(history, advice, turn)


class BeginningOnly:
    """A Coder that sees of a run what it is to begin from and nothing else, where another one of the run is shown all of it."""

    def __init__(self, coder: Coder) -> None:
        self._coder = coder
        self.name = coder.name

    def propose(self, history: tuple[PastAttempt, ...], advice: Advice | None, turn: Turn) -> Proposal | None:
        """As `Coder.propose`."""
        return self._coder.propose(() if turn.parent is None else (turn.parent,), advice, turn)
