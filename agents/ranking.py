"""Which of several timed attempts is the best one: the same rule for the search, the coder, the judge and the store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from kernelwright.verifier.evaluation import TimingKind

__all__ = ["NOTICEABLE", "fastest"]

NOTICEABLE = 1.005
"""Ratio of two times from which they count as different. Closer ones are ties: the model is not that exact, and two of its
times that differ in the fourth digit mean the same kernel."""

T = TypeVar("T")


def fastest(timed: Iterable[tuple[T, TimingKind, float]]) -> T | None:
    """The best of things with the kind of their time and the seconds, oldest first; None if there are none.

    A later one takes over only if it is `NOTICEABLE` times as fast as the best before it, or the first one that was
    measured: a measured time and a modelled one are not compared.
    """
    best: tuple[T, TimingKind, float] | None = None
    for one in timed:
        if best is None or _better(one[1:], best[1:]):
            best = one
    return None if best is None else best[0]


def _better(one: tuple[TimingKind, float], best: tuple[TimingKind, float]) -> bool:
    if one[0] is not best[0]:
        return one[0] is TimingKind.MEASURED
    return one[1] * NOTICEABLE <= best[1]
