"""How likely each kernel is to be bred from: by how fast it is among its like, and how often it was drawn already.

The weight is that of ShinkaEvolve (Lange et al. 2025): a sigmoid of the score, over one plus the number of offspring. The
score is scaled by median and median absolute deviation, so that one kernel ten times as fast as all others gets at most
twice the weight of the middle one: it does not own the draw.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from kernelwright.agents.ranking import NOTICEABLE

__all__ = ["Candidate", "drawn", "scaled", "weights"]

_STEEP = 2.0
"""Of the sigmoid, per robust standard deviation: one above the middle is drawn 1.8 times as often as the middle, one
below it a quarter as often."""
_NORMAL = 1.4826
"""Median absolute deviation to standard deviation, for normally distributed numbers (Rousseeuw and Croux 1993)."""
_LEAST_SPREAD = math.log(NOTICEABLE)
"""Of log speed-ups: what differs by less counts as equal, so it does not decide a draw either."""
_FARTHEST = 8.0
"""Standard deviations; the sigmoid has no more to tell beyond, and `exp` stays in range."""


@dataclass(frozen=True)
class Candidate:
    """A kernel that may be drawn."""

    key: int
    """Whatever tells it from the others, and puts them in one order for every process."""
    seconds: float
    offspring: int
    """How often it was drawn as a parent."""


def scaled(scores: Sequence[float]) -> list[float]:
    """Distances from the median in robust standard deviations, clipped to ±8; the order is kept.

    Args:
        scores: finite, the higher the better: logarithms of speed-ups over one baseline, whichever it is.
    """
    if not scores:
        return []
    middle = median(scores)
    spread = max(_LEAST_SPREAD, _NORMAL * median(abs(score - middle) for score in scores))
    return [min(_FARTHEST, max(-_FARTHEST, (score - middle) / spread)) for score in scores]


def weights(candidates: Sequence[Candidate]) -> list[float]:
    """Positive; not normalised."""
    places = scaled([-math.log(c.seconds) for c in candidates])
    return [
        1.0 / (1.0 + math.exp(-_STEEP * place)) / (1 + c.offspring) for place, c in zip(places, candidates, strict=True)
    ]


def drawn(candidates: Sequence[Candidate], rng: random.Random) -> Candidate:
    """One of them by weight; in which order they are given does not matter.

    Raises:
        ValueError: there are none.
    """
    if not candidates:
        raise ValueError("there is nothing to draw from")
    ordered = sorted(candidates, key=lambda c: c.key)
    return rng.choices(ordered, weights(ordered))[0]
