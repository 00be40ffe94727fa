"""The strategy `one-by-one`: one kernel after another, each written with all results so far in view, and no judge's advice.

For coders that learn from results by themselves: the trained policy, TPE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kernelwright.agents.protocols import Turn
from kernelwright.rl.run import Attempt
from kernelwright.rl.strategy import Batch, Step, Stop, next_number, past

__all__ = ["OneByOne"]


@dataclass(frozen=True)
class OneByOne:
    """Every attempt sees all attempts before it."""

    name = "one-by-one"
    asks_judge = False

    def plan(self, done: Sequence[Attempt], left: int) -> Batch | Stop:
        """The next attempt."""
        return Batch((Step(Turn(next_number(done)), past(done)),))
