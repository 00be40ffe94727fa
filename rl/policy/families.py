"""Leaving families out: a policy that is tested on a task must not have been trained on its like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kernelwright.rl.policy.landscape import Landscape

__all__ = ["folds", "kin"]

_KIN = {"attention": "softmax"}
"""Families whose tasks are made of the same kernels: a biased, masked softmax is called attention."""


def kin(landscape: Landscape) -> str:
    """The family that a task is left out with: its own, or one that is like it. A task's variants are of its family."""
    return _KIN.get(landscape.family, landscape.family)


def folds(landscapes: Sequence[Landscape], count: int) -> list[frozenset[str]]:
    """Families in at most `count` groups of about as many tasks, so that as few policies need training; the same every time."""
    sizes = Counter(kin(each) for each in landscapes)
    groups: list[set[str]] = [set() for _ in range(max(1, min(count, len(sizes))))]
    for family, _ in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        smallest = min(groups, key=lambda group: (sum(sizes[f] for f in group), sorted(group)))
        smallest.add(family)
    return [frozenset(group) for group in groups if group]
