"""The strategy `translate-evolve`, as robust-kbench describes it (Lange et al. 2025).

First the reference is translated until a kernel passes, each try with the errors of the one before. Then generations:
the best kernels so far are shown from the slowest to the fastest, several proposals are asked for, verifiers for compiling,
memory and numerics vote on them, and they are evaluated in the order of the votes. A vote never keeps a proposal from being
evaluated; where the attempts left are fewer than the proposals, those ranked last are not reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kernelwright.agents.protocols import Turn
from kernelwright.rl.run import Attempt
from kernelwright.rl.strategy import Batch, Step, Stop, next_number, past

__all__ = ["SHOWN", "TranslateEvolve"]

SHOWN = 5
"""Correct kernels that a prompt shows at most, robust-kbench's number."""


@dataclass(frozen=True)
class TranslateEvolve:
    """Translation, then generations of ranked proposals."""

    proposals: int = 8
    name = "translate-evolve"
    asks_judge = False

    def plan(self, done: Sequence[Attempt], left: int) -> Batch | Stop:
        """One try at translating, or one generation."""
        first = next_number(done)
        correct = _slow_to_fast(done)
        if not correct:
            history = past(done)
            turn = Turn(first, history[-1] if history else None)
            return Batch((Step(turn, history, done[-1].advice if done else None),))
        shown = past(correct[-SHOWN:])
        steps = tuple(Step(Turn(first + i, shown[-1]), shown, shown[-1].advice) for i in range(self.proposals))
        return Batch(steps, ranked=True)


def _slow_to_fast(attempts: Sequence[Attempt]) -> list[Attempt]:
    """The attempts that passed, each kernel once; a measured time counts as faster than a modelled one."""
    passed = {a.kernel.id: a for a in attempts if a.evaluation.passed and a.evaluation.timing is not None}

    def key(attempt: Attempt) -> tuple[bool, float]:
        timing = attempt.evaluation.timing
        assert timing is not None
        return timing.kind.value == "measured", -timing.seconds

    return sorted(passed.values(), key=key)
