"""The strategy `evolve`: kernels are bred on islands, from an archive that keeps the best of each kind.

Islands and a grid of cells as in MAP-Elites (Mouret and Clune 2015), AlphaEvolve (Novikov et al. 2025) and ShinkaEvolve (Lange
et al. 2025). The islands take turns. For each attempt a bandit chooses how the new kernel is to come about and who writes it,
by what earlier attempts brought for their cost; the archive draws the parents. Where an island has no kernel that passed,
its failures are mended, the nearest to correct first.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from kernelwright.agents.protocols import Turn
from kernelwright.rl.archive.protocol import Archive, Draw
from kernelwright.rl.bandit import Arm, choose
from kernelwright.rl.operators import applicable
from kernelwright.rl.run import Attempt
from kernelwright.rl.strategy import Batch, Step, Stop, past

__all__ = ["Evolution", "Evolve"]


@dataclass(frozen=True)
class Evolution:
    """What evolution needs beside the attempts of its run."""

    archive: Archive
    run_id: str
    seed: str
    """Decides every draw together with the number of the attempt and what the archive holds."""
    authors: tuple[str, ...]
    """The coders that a turn can be given to (`Turn.author`), named as their kernels name them: what an attempt brought is
    credited to the author of its kernel, whoever was asked."""


@dataclass(frozen=True)
class Evolve:
    """Batches of attempts from the archive. The draws are stored there, so a run that is gone on with gets the same ones."""

    evolution: Evolution
    candidates: int = 4
    """Attempts that are drawn before the outcome of any of them is known."""
    name = "evolve"
    asks_judge = False

    def plan(self, done: Sequence[Attempt], left: int) -> Batch | Stop:
        """The next batch, after the archive has taken in what was made."""
        archive, run_id = self.evolution.archive, self.evolution.run_id
        archive.absorb(done)
        first = self._first(done)
        history = past(done)  # all of it: a coder must not propose again what was tried on another island
        steps = []
        for number in range(first, first + min(self.candidates, left)):
            draw = archive.drawn(run_id, number) or self._draw(number)
            parent = draw.parents[0] if draw.parents else None
            turn = Turn(number, parent, draw.operator.value, draw.parents[1:], draw.author)
            steps.append(Step(turn, history, None if parent is None else parent.advice))
        return Batch(tuple(steps))

    def _first(self, done: Sequence[Attempt]) -> int:
        """The first number of the next batch. Each has numbers of its own: one that the coder had nothing for is not asked
        again, as its draw would be the same."""
        batches = -(-max((attempt.number for attempt in done), default=0) // self.candidates)
        return batches * self.candidates + 1

    def _draw(self, number: int) -> Draw:
        archive, seed = self.evolution.archive, self.evolution.seed
        island = (number - 1) % archive.islands
        standing = archive.standing(island)
        operators = applicable(passed=standing.passed, failed=standing.failed)
        arms = [Arm(operator, author) for operator in operators for author in self.evolution.authors]
        arm = choose(arms, archive.outcomes(), random.Random(f"{seed}/{number}/arm"))
        return archive.draw(self.evolution.run_id, number, island, arm.operator, arm.author, seed)
