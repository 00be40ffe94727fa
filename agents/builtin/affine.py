"""Index arithmetic: loop dimensions, affine indices over them, and reshapes that stay affine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kernelwright.agents.builtin.errors import CannotFold, NeedSplit
from kernelwright.agents.builtin.ir import contiguous

__all__ = ["Affine", "Space", "flatten", "unflatten"]


@dataclass(frozen=True)
class Affine:
    """``const + sum(coefficient * dim)``, terms sorted by dimension, no zero coefficient."""

    const: int = 0
    terms: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, const: int, terms: Mapping[int, int]) -> Affine:
        """From a mapping of dimension to coefficient."""
        return cls(const, tuple(sorted((d, c) for d, c in terms.items() if c)))

    @classmethod
    def dim(cls, dim: int) -> Affine:
        """One loop dimension."""
        return cls(0, ((dim, 1),))

    def __add__(self, other: Affine | int) -> Affine:
        if isinstance(other, int):
            return Affine(self.const + other, self.terms)
        total = dict(self.terms)
        for d, c in other.terms:
            total[d] = total.get(d, 0) + c
        return Affine.of(self.const + other.const, total)

    def __mul__(self, factor: int) -> Affine:
        return Affine.of(self.const * factor, {d: c * factor for d, c in self.terms})

    def coefficient(self, dim: int) -> int:
        """Coefficient of a dimension, 0 if absent."""
        return dict(self.terms).get(dim, 0)

    def bounds(self, extents: Mapping[int, int]) -> tuple[int, int]:
        """Smallest and largest value over the loop dimensions."""
        low = high = self.const
        for d, c in self.terms:
            span = c * max(extents[d] - 1, 0)
            low, high = low + min(span, 0), high + max(span, 0)
        return low, high

    def depends_on(self, dims: Iterable[int]) -> bool:
        """Whether any of these dimensions takes part."""
        wanted = set(dims)
        return any(d in wanted for d, _ in self.terms)


class Space:
    """Loop dimensions of one kernel, in groups: one group per logical dimension, split further where reshapes need it."""

    def __init__(self, extents: Sequence[int]) -> None:
        self.extents: dict[int, int] = {}
        self.groups: list[list[int]] = []
        for extent in extents:
            self.groups.append([self._new(extent)])

    def _new(self, extent: int) -> int:
        dim = len(self.extents)
        self.extents[dim] = extent
        return dim

    def split(self, dim: int, inner: int) -> None:
        """Replaces a dimension by an outer and an inner one."""
        for group in self.groups:
            if dim in group:
                at = group.index(dim)
                group[at : at + 1] = [self._new(self.extents[dim] // inner), self._new(inner)]
                return
        raise KeyError(dim)

    def coordinate(self, group: int) -> Affine:
        """The logical dimension as an affine index."""
        result, stride = Affine(), 1
        for dim in reversed(self.groups[group]):
            if self.extents[dim] > 1:
                result = result + Affine.dim(dim) * stride
            stride *= self.extents[dim]
        return result

    def coordinates(self) -> tuple[Affine, ...]:
        """All logical dimensions."""
        return tuple(self.coordinate(g) for g in range(len(self.groups)))


def flatten(coordinates: Sequence[Affine], strides: Sequence[int]) -> Affine:
    """Offset of coordinates under strides."""
    total = Affine()
    for coordinate, stride in zip(coordinates, strides, strict=True):
        total = total + coordinate * stride
    return total


def unflatten(flat: Affine, shape: Sequence[int], space: Space) -> tuple[Affine, ...]:
    """Coordinates in a row-major `shape` of a flat index.

    Raises:
        NeedSplit: it becomes possible when a loop dimension is split.
        CannotFold: it is no affine map.
    """
    if 0 in shape:
        return (Affine(),) * len(shape)
    coordinates: list[Affine] = []
    rest = flat
    for extent, stride in zip(shape, contiguous(shape), strict=True):
        if extent == 1:
            coordinates.append(Affine())
            continue
        taken = {d: c // stride for d, c in rest.terms if c % stride == 0}
        left = {d: c for d, c in rest.terms if c % stride}
        remainder = Affine.of(rest.const % stride, left)
        low, high = remainder.bounds(space.extents)
        if low < 0 or high >= stride:
            for d, c in sorted(left.items(), key=lambda item: -item[1]):
                if 0 < c < stride and stride % c == 0:
                    inner = stride // c
                    if inner < space.extents[d] and space.extents[d] % inner == 0:
                        raise NeedSplit(d, inner)
            raise CannotFold(f"index {flat} does not divide into {tuple(shape)}")
        part = Affine.of(rest.const // stride, taken)
        low, high = part.bounds(space.extents)
        if low < 0 or high >= extent:
            raise CannotFold(f"index {flat} leaves {tuple(shape)}")
        coordinates.append(part)
        rest = remainder
    return tuple(coordinates)
