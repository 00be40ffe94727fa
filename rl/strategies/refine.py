"""The strategy `refine`: one kernel after another, each written with the judge's advice on the one before.

As CudaForge describes it (Zhang et al. 2025): a wrong kernel is corrected, a right one made faster, for a given number of
rounds; the best of all that passed is the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kernelwright.agents.protocols import Turn
from kernelwright.rl.run import Attempt
from kernelwright.rl.strategy import Batch, Step, Stop, next_number, past

__all__ = ["Refine"]


@dataclass(frozen=True)
class Refine:
    """Coder and Judge in turn."""

    name = "refine"
    asks_judge = True

    def plan(self, done: Sequence[Attempt], left: int) -> Batch | Stop:
        """The next attempt starts from the last one, whether that passed or not."""
        advice = done[-1].advice if done else None
        if advice is not None and advice.mode == "stop":
            return Stop(f"The judge sees nothing left worth trying: {advice.change}")
        history = past(done)
        turn = Turn(next_number(done), history[-1] if history else None)
        return Batch((Step(turn, history, advice),))
