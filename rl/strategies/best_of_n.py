"""The strategy `best-of-n`: independent samples, the fastest that passes is taken. What any other must beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kernelwright.agents.protocols import Turn
from kernelwright.rl.run import Attempt
from kernelwright.rl.strategy import Batch, Step, Stop, next_number, past

__all__ = ["BestOfN"]


@dataclass(frozen=True)
class BestOfN:
    """Every attempt begins from the reference and, unless `show_all`, sees no other."""

    at_once: int = 4
    """How many kernels are asked for at the same time; it changes how long a run takes and, unless `show_all`, nothing else."""
    show_all: bool = False
    """Whether the coder is shown all earlier attempts: for one that draws kernels and learns what to draw."""
    name = "best-of-n"
    asks_judge = False

    def plan(self, done: Sequence[Attempt], left: int) -> Batch | Stop:
        """The next few samples."""
        first = next_number(done)
        history = past(done) if self.show_all else ()
        return Batch(tuple(Step(Turn(first + i), history) for i in range(min(self.at_once, left))))
