"""Rounds of timing: candidate and baselines in random order, cold and warm, until the figures stand or the budget ends.

A *batch* is a number of calls one after the other, on sets of inputs in random order; its figure is its median. A *round*
has one batch of every participant with a cold and one with a warm L2 cache, in an order drawn anew. Batches are what
statistics are made of: calls within one are not independent.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from kernelwright.verifier.measured.statistics import Slope, relative_standard_error, settled, slope

__all__ = ["COLD", "MODES", "WARM", "Participant", "Plan", "Rounds", "WallClock", "measure", "wall_clock"]

_MOST_WALL_SPIN = 1.0  # seconds
_SPIN_SHARE = 1.5  # of what launching a batch took before
COLD, WARM = "cold", "warm"
MODES = (COLD, WARM)


class Timed(Protocol):
    """Calls that were timed: `GpuProcess.repeat` gives one."""

    @property
    def seconds(self) -> tuple[float, ...]:
        """Of each call, by the device's clock."""

    @property
    def wall_seconds(self) -> float:
        """Of all, by the judge's."""

    @property
    def queued_seconds(self) -> float:
        """What launching them took host code."""


class Participant(Protocol):
    """What is timed: a `GpuProcess` on which sets of inputs are staged."""

    def repeat(
        self, order: Sequence[int], *, cold: bool, fresh: bool = True, spin: float = 0.0, compiling: bool = False
    ) -> Timed:
        """Calls on these sets, as `GpuProcess.repeat` does."""


@dataclass(frozen=True)
class Plan:
    """How long and how precisely to measure."""

    standard_error: float = 0.005
    """Relative, of the batch medians of every participant in every mode; where it is reached, measuring ends."""
    budget_seconds: float = 20.0
    """Wall time after which it ends all the same."""
    least_rounds: int = 5
    most_rounds: int = 60
    batch_seconds: float = 0.02
    """Device time that a batch is to take."""
    most_calls: int = 100
    """Of one batch."""
    warm_up_tolerance: float = 0.02
    """Relative difference of successive batches at which warm-up is over."""
    most_warm_up: int = 20
    """Batches of warm-up at most; a participant that has not settled by then is said to be unstable."""
    most_spin: float = 0.2
    """Seconds at most that the GPU is kept busy before a batch, so that all of it is queued when its first call begins: else the
    time between two events would hold what launching costs the host."""


@dataclass
class Rounds:
    """What was measured: batch medians by participant and mode, in seconds, one for each round."""

    medians: dict[str, dict[str, list[float]]]
    calls: dict[str, int]
    """Timed calls of each participant."""
    unsettled: list[str] = field(default_factory=list)
    """Participants whose warm-up did not settle."""
    budget_ended: bool = False
    """Whether time ran out before the standard error was reached."""
    clocks: list[dict[str, Any]] = field(default_factory=list)
    """What the GPU's clocks were, one for each round."""

    def standard_error(self) -> float:
        """The largest relative standard error of any participant in any mode."""
        return max(relative_standard_error(values) for modes in self.medians.values() for values in modes.values())


def measure(
    participants: Mapping[str, Participant],
    *,
    sets: int,
    plan: Plan,
    rng: random.Random,
    now: Callable[[], float],
    verify: Callable[[str, Sequence[int]], None] = lambda name, order: None,
    clocks: Callable[[], Mapping[str, Any]] = dict,
    progress: Callable[[int, float], None] = lambda number, error: None,
) -> Rounds:
    """Times all participants.

    Args:
        sets: how many sets of inputs are staged on each.
        now: the judge's clock, in seconds.
        verify: told after each batch who ran on which sets; it may look at any of the outputs then.
        clocks: reads the GPU's clocks.
        progress: told the number of each round and the standard error so far.

    Raises:
        ValueError: nobody takes part, or there is no set.
    """
    if not participants or sets < 1:
        raise ValueError("nothing to measure")
    end = now() + plan.budget_seconds
    sizes, spins, unsettled = {}, {}, []
    for name, participant in participants.items():
        sizes[name], spins[name], calm = _warm_up(participant, sets, plan, rng)
        if not calm:
            unsettled.append(name)
    found = Rounds(
        {name: {mode: [] for mode in MODES} for name in participants}, dict.fromkeys(participants, 0), unsettled
    )
    for number in range(1, plan.most_rounds + 1):
        turns = [(name, mode) for name in participants for mode in MODES]
        rng.shuffle(turns)
        for name, mode in turns:
            order = _order(sizes[name], sets, rng)
            timed = participants[name].repeat(order, cold=mode == COLD, spin=spins[name])
            found.medians[name][mode].append(statistics.median(timed.seconds))
            found.calls[name] += len(order)
            verify(name, order)
        found.clocks.append(dict(clocks()))
        error = found.standard_error()
        progress(number, error)
        if number >= plan.least_rounds and error <= plan.standard_error:
            return found
        if now() >= end and number >= 2:
            break
    found.budget_ended = True
    return found


def _warm_up(participant: Participant, sets: int, plan: Plan, rng: random.Random) -> tuple[int, float, bool]:
    """Calls a batch is to have, seconds that the GPU is to be kept busy before, and whether the times settled."""
    first = participant.repeat(_order(1, sets, rng), cold=True, compiling=True)
    size, spin, medians = 1, 0.0, [first.seconds[0]]
    for _ in range(plan.most_warm_up):
        timed = participant.repeat(_order(size, sets, rng), cold=True, spin=spin)
        medians.append(statistics.median(timed.seconds))
        launching = timed.queued_seconds / size
        size = max(1, min(plan.most_calls, int(plan.batch_seconds / max(medians[-1], 1e-9))))
        spin = min(plan.most_spin, _SPIN_SHARE * launching * size)
        if settled(medians, tolerance=plan.warm_up_tolerance):
            return size, spin, True
    return size, spin, False


def _order(count: int, sets: int, rng: random.Random) -> list[int]:
    return [rng.randrange(sets) for _ in range(count)]


@dataclass(frozen=True)
class WallClock:
    """The judge's own measurement: the slope of its wall clock over numbers of calls that it chose at random."""

    slope: Slope
    claimed: float
    """Median seconds of a call in the same batches, as the process says."""

    @property
    def ratio(self) -> float:
        """Wall seconds by claimed ones: 1 where they agree; more where the process says less than it takes."""
        return self.slope.seconds / self.claimed if self.claimed else float("inf")


def wall_clock(
    participant: Participant, *, sets: int, claimed_about: float, rng: random.Random, pairs: int = 6, spin: float = 0.05,
    most_calls: int = 200, batch_seconds: float = 0.05,
) -> WallClock:  # fmt: skip
    """Times batches of random lengths by the judge's clock, on a warm cache and with the device kept busy at first.

    So launching is hidden behind the spin, and what is left of the slope is the device's work.

    Args:
        claimed_about: seconds of a call as claimed so far: it decides how many calls make a batch.
        pairs: short and long batches, each.
        spin: seconds that the device is kept busy first, at least; longer where launching takes longer.
    """
    longest = max(8, min(most_calls, int(batch_seconds / max(claimed_about, 1e-9))))
    probe = participant.repeat(_order(longest, sets, rng), cold=False, fresh=False, spin=spin)
    spin = max(spin, min(_MOST_WALL_SPIN, _SPIN_SHARE * probe.queued_seconds))
    counts, walls, claims = [], [], []
    lengths = [rng.randint(2, max(2, longest // 4)) for _ in range(pairs)]
    lengths += [rng.randint(longest // 2 + 1, longest) for _ in range(pairs)]
    rng.shuffle(lengths)
    for count in lengths:
        timed = participant.repeat(_order(count, sets, rng), cold=False, fresh=False, spin=spin)
        counts.append(count)
        walls.append(timed.wall_seconds)
        claims.append(statistics.median(timed.seconds))
    return WallClock(slope(counts, walls, seed=rng.getrandbits(32)), statistics.median(claims))
