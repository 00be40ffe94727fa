"""Which keys a query can see, as far as positions alone say: a causal mask or a sliding window need not visit the others.

The score of query m and key n is minus infinity for sure where the masks made of positions say so, whatever the tensors
hold. It is asked for whole bands of n - m at once, with intervals in place of numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from kernelwright.agents.builtin.affine import Affine
from kernelwright.agents.builtin.spec import AttentionSpec

__all__ = ["Band", "visible_band"]

Interval = tuple[float, float]
_ANY: Interval = (-math.inf, math.inf)
_FALSE: Interval = (0.0, 0.0)
_TRUE: Interval = (1.0, 1.0)
_EITHER: Interval = (0.0, 1.0)


@dataclass(frozen=True)
class Band:
    """Key n can be seen by query m only where ``m + low <= n <= m + high``; None where positions set no limit."""

    low: int | None = None
    high: int | None = None


def visible_band(spec: AttentionSpec) -> Band:
    """The narrowest band that the score's position masks prove; of extents 1 or split loops nothing is said."""
    if len(spec.m_dims) != 1 or len(spec.n_dims) != 1:
        return Band()
    queries, keys = spec.extent(spec.m_dims), spec.extent(spec.n_dims)

    def hidden(low: int, high: int) -> bool:
        return _Bands(spec, low, high).of(spec.score) == (-math.inf, -math.inf)

    first, last = 1 - queries, keys - 1
    # a band that is hidden stays so when it is cut down, so that the border can be found by halving
    above = _first(first, last, lambda t: hidden(t, last))
    below = _first(-last, -first, lambda t: hidden(first, -t))
    return Band(None if below is None else 1 - below, None if above is None else above - 1)


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int | None:
    """The smallest number from `low` to `high` for which a condition holds that goes on holding; None if there is none."""
    if low > high or not holds(high):
        return None
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


class _Bands:
    """Intervals of values, for all queries m and keys n with ``low <= n - m <= high``."""

    def __init__(self, spec: AttentionSpec, low: int, high: int) -> None:
        self.values = spec.evaluator.values
        self.extents = spec.space.extents
        self.m, self.n = spec.m_dims[0], spec.n_dims[0]
        self.low, self.high = low, high
        self._known: dict[int, Interval] = {}

    def of(self, number: int) -> Interval:
        """Smallest and largest value. A score that is no number counts as any other: whoever adds minus infinity means a mask."""
        for each in sorted(self._below(number)):
            if each not in self._known:
                self._known[each] = self._of(each)
        return self._known[number]

    def _below(self, number: int) -> set[int]:
        seen: set[int] = set()
        stack = [number]
        while stack:
            each = stack.pop()
            if each not in seen:
                seen.add(each)
                stack.extend(self.values[each].args)
        return seen

    def _of(self, number: int) -> Interval:
        value = self.values[number]
        if value.kind == "const":
            text = str(value.extra)
            constant = float(text == "True") if text in ("True", "False") else float(text)
            return _ANY if math.isnan(constant) else (constant, constant)
        if value.kind == "index":
            return self._affine(value.extra)
        if value.kind != "op":
            return _EITHER if value.dtype == "bool" else _ANY
        if value.extra in ("sub", "lt", "le", "gt", "ge", "eq", "ne"):
            difference = self._difference(*value.args)
            if difference is not None:
                return difference if value.extra == "sub" else _compared(str(value.extra), difference, (0.0, 0.0))
        return _applied(str(value.extra), value.dtype, [self._known[x] for x in value.args])

    def _difference(self, a: int, b: int) -> Interval | None:
        """a - b, where both are positions: the difference of two may be known better than either."""
        left, right = self._position(a), self._position(b)
        if left is None or right is None:
            return None
        return self._affine(left + right * -1)

    def _position(self, number: int) -> Affine | None:
        value = self.values[number]
        if value.kind == "index":
            return value.extra if isinstance(value.extra, Affine) else None
        if value.kind == "const":
            number_text = str(value.extra)
            return Affine(int(number_text)) if number_text.lstrip("-").isdigit() else None
        if value.kind == "op" and value.extra in ("add", "sub"):
            left, right = (self._position(x) for x in value.args)
            if left is None or right is None:
                return None
            return left + (right if value.extra == "add" else right * -1)
        if value.kind == "op" and value.extra == "cast" and value.dtype == "int64":
            return self._position(value.args[0])
        return None

    def _affine(self, affine: Affine) -> Interval:
        across = affine.coefficient(self.n)
        if across and affine.coefficient(self.m) == -across:
            rest = Affine.of(affine.const, {d: c for d, c in affine.terms if d not in (self.m, self.n)})
            low, high = rest.bounds(self.extents)
            ends = (across * self.low, across * self.high)
            return low + min(ends), high + max(ends)
        low, high = affine.bounds(self.extents)
        return low, high


def _truth(x: Interval) -> bool | None:
    """Whether a condition holds: None if it depends."""
    if x == (0.0, 0.0):
        return False
    return True if x[0] > 0 or x[1] < 0 else None


def _compared(fn: str, a: Interval, b: Interval) -> Interval:
    if _ANY in (a, b):  # it may be NaN, which compares as no number does
        return _EITHER
    always, never = {
        "lt": (a[1] < b[0], a[0] >= b[1]),
        "le": (a[1] <= b[0], a[0] > b[1]),
        "gt": (a[0] > b[1], a[1] <= b[0]),
        "ge": (a[0] >= b[1], a[1] < b[0]),
        "eq": (a[0] == a[1] == b[0] == b[1], a[1] < b[0] or a[0] > b[1]),
        "ne": (a[1] < b[0] or a[0] > b[1], a[0] == a[1] == b[0] == b[1]),
    }[fn]
    return _TRUE if always else _FALSE if never else _EITHER


def _applied(fn: str, dtype: str, args: list[Interval]) -> Interval:
    if fn == "where":
        test = _truth(args[0])
        if test is not None:
            return args[1] if test else args[2]
        return min(args[1][0], args[2][0]), max(args[1][1], args[2][1])
    if fn in ("lt", "le", "gt", "ge", "eq", "ne"):
        return _compared(fn, args[0], args[1])
    if dtype == "bool":
        return _logic(fn, args)
    if fn in ("cast", "round_float16", "round_bfloat16") and dtype.startswith("float"):
        return args[0]
    if fn in ("add", "sub"):
        other = args[1] if fn == "add" else (-args[1][1], -args[1][0])
        if (-math.inf, -math.inf) in (args[0], other):
            return (-math.inf, -math.inf)
        low, high = args[0][0] + other[0], args[0][1] + other[1]
        return _ANY if math.isnan(low) or math.isnan(high) else (low, high)
    if fn in ("mul", "div"):
        if args[1][0] > 0 and args[1][1] < math.inf and args[0] == (-math.inf, -math.inf):
            return args[0]
        if fn == "mul" and args[0][0] > 0 and args[0][1] < math.inf and args[1] == (-math.inf, -math.inf):
            return args[1]
    return _ANY


def _logic(fn: str, args: list[Interval]) -> Interval:
    truths = [_truth(x) for x in args]
    if fn in ("not", "logical_not", "bitwise_not"):
        return _EITHER if truths[0] is None else _FALSE if truths[0] else _TRUE
    if fn in ("logical_and", "bitwise_and", "mul", "minimum"):
        return _FALSE if False in truths else _TRUE if truths == [True, True] else _EITHER
    if fn in ("logical_or", "bitwise_or", "add", "maximum"):
        return _TRUE if True in truths else _FALSE if truths == [False, False] else _EITHER
    if fn == "cast":
        return _EITHER if truths[0] is None else _TRUE if truths[0] else _FALSE
    return _EITHER
