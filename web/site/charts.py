"""A fast_p curve as SVG, made here from numbers only."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence

from kernelwright.bench_tasks.scoring.intervals import Figure

__all__ = ["curve"]

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 640, 280, 48, 40, 12, 12


def curve(points: Sequence[tuple[float, Figure]], marked: Collection[float]) -> str:
    """The share of tasks above p, by p, with its interval as a band. A table beside it says the same: it is hidden from readers.

    It is drawn in steps: between two speed-ups that tasks have the share is the same.

    Args:
        points: at rising p, every one at which it steps; p = 0 is drawn at the left edge, the others by their logarithm.
        marked: those of them that are labelled; they span the width.
    """
    above = [math.log(p) for p in marked if p > 0]
    least, most = min(above), max(above)
    gap = (most - least) / 8

    def x(p: float) -> float:
        share = 0.0 if p <= 0 else max(0.0, (math.log(p) - least + gap) / (most - least + gap))
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(share: float) -> float:
        return _TOP + (1 - share) * (_HEIGHT - _TOP - _BOTTOM)

    upper = _steps([(x(p), y(f.value if f.high is None else f.high)) for p, f in points])
    lower = _steps([(x(p), y(f.value if f.low is None else f.low)) for p, f in points])[::-1]
    lines = [
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(s):.1f}" y2="{y(s):.1f}"/>'
        f'<text x="{_LEFT - 6}" y="{y(s) + 4:.1f}" text-anchor="end">{100 * s:.0f} %</text>'
        for s in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    marks = [
        f'<text x="{x(p):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{p:g}</text>'
        f'<circle cx="{x(p):.1f}" cy="{y(f.value):.1f}" r="3.5"/>'
        for p, f in points
        if p in marked
    ]
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" aria-hidden="true" focusable="false">{"".join(lines)}'
        f'<polygon class="band" points="{_points([*upper, *lower])}"/>'
        f'<polyline class="line" points="{_points(_steps([(x(p), y(f.value)) for p, f in points]))}"/>{"".join(marks)}'
        f'<text x="{(_WIDTH + _LEFT) / 2:.0f}" y="{_HEIGHT - 4}" text-anchor="middle">faster than p times the baseline</text></svg>'
    )


def _steps(places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Level from each place to the next, then down."""
    following = itertools.pairwise(places)
    return [*(each for (x, y), (end, _) in following for each in ((x, y), (end, y))), places[-1]]


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
