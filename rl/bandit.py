"""Which operator and which model are asked next: a bandit that learns from what earlier attempts gained and cost.

Thompson sampling for gains between 0 and 1 (Agrawal & Goyal, "Analysis of Thompson Sampling for the Multi-armed Bandit
Problem", 2012) on the ratio of gain to cost (Xia et al., "Thompson Sampling for Budgeted Multi-armed Bandits", 2015), in which
older outcomes count less (Raj & Kalyani, "Taming Non-stationary Bandits: A Bayesian Approach", 2017), because what helps at
the beginning of a run seldom helps at its end. A sampled choice, unlike an upper confidence bound, differs within a batch
whose outcomes are not known yet.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from kernelwright.rl.operators import Operator

__all__ = ["DOLLARS_PER_HOUR", "LARGEST_GAIN", "Arm", "Outcome", "choose", "gain"]

DOLLARS_PER_HOUR = 2.0
"""US dollars that an hour of waiting is worth: our assumption, about the rent of one data-centre GPU."""
LARGEST_GAIN = math.log(2.0)
"""A gain is cut off where the best time halves: a larger one says more of the kernel before it than of the arm."""
_OUTLIER = 4.0
"""A gain over so many times the median of all gains counts as so many: one lucky attempt is one success, no more."""
_DISCOUNT = 0.98
"""What an outcome counts after one more: half after 34 attempts, about the length of a run."""
_PRIOR = 2.0
"""Outcomes that the average of all arms counts for in each arm, so that one failure does not end it."""


@dataclass(frozen=True)
class Arm:
    """What can be chosen."""

    operator: Operator
    author: str
    """Which coder carries it out, as its kernels name it."""


@dataclass(frozen=True)
class Outcome:
    """What one attempt brought and cost.

    Raises:
        ValueError: a cost is negative or not finite, or the gain is no number.
    """

    arm: Arm
    gain: float
    """Natural logarithm of the best time before over the best time after, as `gain` gives it; below 0 counts as 0."""
    dollars: float
    """Paid to model servers, US dollars."""
    seconds: float
    """Wall time of the attempt."""
    passed: bool
    """A kernel that did not pass gained nothing."""

    def __post_init__(self) -> None:
        if not all(math.isfinite(cost) and cost >= 0 for cost in (self.dollars, self.seconds)):
            raise ValueError(f"costs are finite and not negative, not {self.dollars} dollars and {self.seconds} s")
        if math.isnan(self.gain):
            raise ValueError("a gain is a number")


def gain(before: float | None, after: float | None) -> float:
    """What an attempt gained, between 0 and `LARGEST_GAIN`.

    Args:
        before: seconds of the best kernel before it (of the island, where there are several); None: there was none.
        after: seconds of its own kernel, None if that did not pass.
    """
    if after is None or after <= 0:
        return 0.0
    if before is None:
        return LARGEST_GAIN
    return min(max(0.0, math.log(before / after)), LARGEST_GAIN)


def choose(
    arms: Sequence[Arm],
    outcomes: Sequence[Outcome],
    rng: random.Random,
    *,
    dollars_per_hour: float = DOLLARS_PER_HOUR,
) -> Arm:
    """The arm to try next.

    An arm without an outcome comes before all others; of several, one by chance. The same arguments and state of `rng` give
    the same arm.

    Args:
        arms: what is on offer.
        outcomes: of earlier attempts, oldest first; those of arms that are not on offer say only how large gains and costs
            are in general.
        dollars_per_hour: what time is worth. Gains and costs are compared with one another only: in another currency, or
            where everything takes twice as long at half the worth, the choice is the same.

    Raises:
        ValueError: no arm is on offer.
    """
    offered = tuple(dict.fromkeys(arms))
    if not offered:
        raise ValueError("no arm is on offer")
    tried = {outcome.arm for outcome in outcomes}
    new = [arm for arm in offered if arm not in tried]
    if new:
        return rng.choice(new)
    successes = _successes(outcomes)
    costs = [outcome.dollars + outcome.seconds / 3600.0 * dollars_per_hour for outcome in outcomes]
    weights = [_DISCOUNT**age for age in reversed(range(len(outcomes)))]
    rate = _mean(successes, weights, prior=0.5)
    cost = _mean(costs, weights) or 1.0
    worth = {arm: _worth(arm, outcomes, successes, costs, weights, rate, cost, rng) for arm in offered}
    return max(offered, key=worth.__getitem__)


def _worth(
    arm: Arm, outcomes: Sequence[Outcome], successes: Sequence[float], costs: Sequence[float], weights: Sequence[float],
    rate: float, cost: float, rng: random.Random,
) -> float:  # fmt: skip
    """A sample of the arm's success per cost, from what is known of it."""
    own = [i for i, outcome in enumerate(outcomes) if outcome.arm == arm]
    won = sum(weights[i] * successes[i] for i in own)
    lost = sum(weights[i] * (1.0 - successes[i]) for i in own)
    spent = sum(weights[i] * costs[i] for i in own)
    sample = rng.betavariate(_PRIOR * rate + won, _PRIOR * (1.0 - rate) + lost)
    return sample * (won + lost + _PRIOR) / (spent + _PRIOR * cost)


def _successes(outcomes: Sequence[Outcome]) -> list[float]:
    """Gains as shares of the largest that counts, each between 0 and 1."""
    gains = [max(0.0, outcome.gain) if outcome.passed else 0.0 for outcome in outcomes]
    found = [value for value in gains if value > 0]
    most = min(LARGEST_GAIN, _OUTLIER * median(found)) if found else LARGEST_GAIN
    return [min(1.0, value / most) for value in gains]


def _mean(values: Sequence[float], weights: Sequence[float], prior: float | None = None) -> float:
    """The weighted mean; `prior` counts as one value more."""
    total, count = sum(v * w for v, w in zip(values, weights, strict=True)), sum(weights)
    return total / count if prior is None else (total + prior) / (count + 1.0)
