"""Finds a smaller twin of a task: other values for numbers of its file, under which everything else stays the same.

The values are halved, the largest first, as long as the task still runs, its tensors keep at least two elements in every
dimension that had so many, and it gets smaller. The same file gives the same twin every time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from kernelwright.bench_tasks.task import TensorSpec

__all__ = ["MOST_ELEMENTS", "MOST_FLOPS", "Extent", "find_twin"]

MOST_ELEMENTS = 1 << 21
"""Of inputs, outputs and parameters together: what the emulator can go through several times in seconds."""
MOST_FLOPS = 250_000_000
_MOST_TRIES = 120
_WORTH = 0.8  # of what it has too much, what one halving is to leave at most
_LEAST = 4  # the smallest number that is halved


@dataclass(frozen=True)
class Extent:
    """How large a task is at some sizes."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    elements: int
    """Of inputs, outputs and parameters, in the largest of the task's settings."""
    bytes: int
    flops: int
    """Of matrix products, convolutions and attention."""

    @property
    def small(self) -> bool:
        """Whether the emulator can judge it."""
        return self.elements <= MOST_ELEMENTS and self.flops <= MOST_FLOPS

    @property
    def excess(self) -> float:
        """How far it is above what the emulator can judge: at most 1 where it is not."""
        return max(self.elements / MOST_ELEMENTS, self.flops / MOST_FLOPS)


def find_twin(
    full: Extent, numbers: Mapping[str, int], measure: Callable[[Mapping[str, int]], Extent | None]
) -> Iterator[tuple[dict[str, int], Extent]]:
    """Ever smaller twins, the last of which is the smallest that was found; none where nothing can be made smaller.

    Args:
        full: the task as it is.
        numbers: what may be changed.
        measure: the task at other numbers; None where it does not run.
    """
    now, extent = dict(numbers), full
    tries = 0
    while not extent.small:
        best: tuple[dict[str, int], Extent] | None = None
        for group in _groups(now):
            if tries == _MOST_TRIES:
                break
            tries += 1
            smaller = {**now, **{name: now[name] // 2 for name in group}}
            found = measure({name: value for name, value in smaller.items() if value != numbers[name]})
            if found is None or not _alike(found, full) or not _less(found, extent):
                continue
            if best is None or found.excess < best[1].excess:
                best = smaller, found
            if found.excess <= _WORTH * extent.excess:  # others make it smaller without coming nearer: they stay large
                break
        if best is None:
            return
        now, extent = best
        yield {name: value for name, value in now.items() if value != numbers[name]}, extent


def _groups(now: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    """What is halved together, in the order in which it is tried: each number, the largest first; then those that are
    equal, which often have to stay so; then those in the ratio of which the file may need two; then all."""
    ordered = sorted((name for name, value in now.items() if value >= _LEAST), key=lambda name: (-now[name], name))
    seen: set[tuple[str, ...]] = set()
    singles = [(name,) for name in ordered]
    equal = [tuple(other for other in ordered if now[other] == now[name]) for name in ordered]
    pairs = [(one, other) for i, one in enumerate(ordered) for other in ordered[i + 1 :]]
    for group in [*singles, *equal, *pairs, tuple(ordered)]:
        if group and group not in seen:
            seen.add(group)
            yield group


def _alike(found: Extent, full: Extent) -> bool:
    """Whether the tensors are of the same number, rank and dtype, and none has lost a dimension to 0 or 1."""
    for small, large in ((found.inputs, full.inputs), (found.outputs, full.outputs)):
        if len(small) != len(large):
            return False
        for one, other in zip(small, large, strict=True):
            if one.dtype != other.dtype or len(one.shape) != len(other.shape):
                return False
            if any(now < min(2, full) for now, full in zip(one.shape, other.shape, strict=True)):
                return False
    return True


def _less(found: Extent, extent: Extent) -> bool:
    """Whether it is smaller in what is too large, and not larger in the other."""
    return found.excess < extent.excess or (
        found.elements <= extent.elements
        and found.flops <= extent.flops
        and found.elements + found.flops < extent.elements + extent.flops
    )
