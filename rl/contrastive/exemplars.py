"""Which earlier kernels of a task a prompt shows: one each from distinct buckets of score, as CUDA-L1 draws them.

Kernels that passed are put into buckets by their score. `count` distinct buckets are drawn with probability
``exp((mean score of the bucket - mean over buckets) / tau)``, normalised; of each one a kernel is taken with equal chances. So the
prompt shows kernels that differ in speed, good ones more often: there is something to compare.
(Li et al. 2025, https://arxiv.org/abs/2507.14111, section on exemplar selection.)
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kernelwright.verifier.evaluation import TimingKind

__all__ = ["COUNT", "TAU", "Variant", "buckets", "chances", "draw"]

COUNT = 2
"""Exemplars of a prompt; CUDA-L1's N."""
TAU = 0.5
"""Temperature, in units of the score (times the reference). Ours: the paper names none."""
_WIDTH = math.log(1.2)
"""Of a bucket, natural logarithms of the speed-up: kernels within 20 % of one another teach no contrast."""


@dataclass(frozen=True)
class Variant:
    """A kernel of the task that passed, and how fast it was."""

    kernel_id: str
    source: str
    score: float
    """Speed-up: times the reference, of one evaluation; above zero and finite."""
    seconds: float
    """Of one forward call."""
    kind: TimingKind

    def __post_init__(self) -> None:
        if not (math.isfinite(self.score) and self.score > 0):
            raise ValueError(f"a variant's score is a finite number above zero, not {self.score}")


def buckets(variants: Sequence[Variant]) -> Mapping[int, tuple[Variant, ...]]:
    """Variants by bucket, slowest bucket first; each kernel is in one bucket once, with its lowest score."""
    lowest: dict[str, Variant] = {}
    for variant in variants:
        known = lowest.get(variant.kernel_id)
        if known is None or variant.score < known.score:
            lowest[variant.kernel_id] = variant
    found: dict[int, list[Variant]] = {}
    for variant in sorted(lowest.values(), key=lambda v: (v.score, v.kernel_id)):
        found.setdefault(math.floor(math.log(variant.score) / _WIDTH), []).append(variant)
    return {place: tuple(found[place]) for place in sorted(found)}


def chances(means: Sequence[float], tau: float = TAU) -> list[float]:
    """Probability of each bucket to be drawn first, by the mean scores of the buckets.

    Raises:
        ValueError: `tau` is not above zero.
    """
    if not tau > 0:
        raise ValueError(f"a temperature is above zero, not {tau}")
    if not means:
        return []
    most = max(means)  # the mean over buckets cancels out, as any constant does; this one keeps exp() finite
    weights = [math.exp((mean - most) / tau) for mean in means]
    total = sum(weights)
    return [weight / total for weight in weights]


def draw(
    variants: Sequence[Variant], rng: random.Random, *, count: int = COUNT, tau: float = TAU
) -> tuple[Variant, ...]:
    """At most `count` variants of distinct buckets, slowest first; fewer where there are fewer buckets.

    Deterministic: the same variants, in whatever order, and the same state of `rng` give the same ones.
    """
    left = dict(buckets(variants))
    drawn: list[Variant] = []
    while left and len(drawn) < count:
        places = list(left)
        means = [math.fsum(v.score for v in left[place]) / len(left[place]) for place in places]
        (place,) = rng.choices(places, weights=chances(means, tau))
        drawn.append(rng.choice(left.pop(place)))
    return tuple(sorted(drawn, key=lambda v: (v.score, v.kernel_id)))
