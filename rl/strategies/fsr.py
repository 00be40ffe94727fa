"""The strategy `fsr`, feature search and reinforcement as CUDA-LLM describes it (Chen et al. 2025).

Each round has several candidates, all through the compiler and the tests. If any attempt has been correct so far, the
fastest of them seeds every candidate of the next round; while none has, each candidate gets its own errors back.
The run ends at a given depth, which here is the number of attempts over the candidates of a round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kernelwright.agents.protocols import Turn
from kernelwright.rl.run import Attempt
from kernelwright.rl.strategy import Batch, Step, Stop, best_attempt, next_number, past

__all__ = ["FeatureSearch"]


@dataclass(frozen=True)
class FeatureSearch:
    """Rounds of candidates."""

    candidates: int = 4
    show_all: bool = False
    """Whether candidates see all earlier attempts, not their seed alone: for a coder that learns what to draw."""
    name = "fsr"
    asks_judge = False

    def plan(self, done: Sequence[Attempt], left: int) -> Batch | Stop:
        """One round."""
        first = next_number(done)
        best = best_attempt(done)
        before = list(done[-self.candidates :])
        steps = []
        for i in range(min(self.candidates, left)):
            seed = best if best is not None else before[i] if i < len(before) else None
            # its seed is all that a candidate sees, so that those of a round differ by chance only
            history = () if seed is None else past([seed])
            turn = Turn(first + i, history[0] if history else None)
            shown = past(done) if self.show_all else history
            steps.append(Step(turn, shown, None if seed is None else seed.advice))
        return Batch(tuple(steps))
