"""fast_p curves of the first entries of a section, with a mark at the p that is looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from markupsafe import Markup

from kernelwright.web.views.leaderboard import MOST_P, BoardRow

__all__ = ["fast_p_chart"]

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 280, 48, 16, 14, 40
_CURVES = 5
_MARKED = (0.5, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
_LEAST = 0.4
"""The left edge; what is below it is drawn there."""


def _x(p: float) -> float:
    share = 0.0 if p <= _LEAST else math.log(min(p, MOST_P) / _LEAST) / math.log(MOST_P / _LEAST)
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _y(share: float) -> float:
    return _TOP + (1 - share) * (_HEIGHT - _TOP - _BOTTOM)


def fast_p_chart(rows: Sequence[BoardRow], p: float) -> Markup:
    """A falling line of steps for each of the first entries, named by its place; the band is the interval of the first.

    The table has the shares at p, so it is hidden from screen readers. `data-` attributes tell a script where a p is.
    """
    if not rows:
        return Markup("")
    grid = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{_y(s):.1f}" y2="{_y(s):.1f}"/>'
        f'<text x="{_LEFT - 6}" y="{_y(s) + 4:.1f}" text-anchor="end">{100 * s:.0f} %</text>'
        for s in (0.0, 0.25, 0.5, 0.75, 1.0)
    ) + "".join(
        f'<text x="{_x(each):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{each:g}</text>'
        for each in _MARKED
    )
    curves = "".join(
        f'<polyline class="line curve-{place}" points="{_stepped([(c.p, c.value) for c in row.curve])}"><title>{escape(row.author)}</title></polyline>'
        for place, row in reversed(list(enumerate(rows[:_CURVES], 1)))
    )
    first = rows[0].curve
    upper = _stepped([(c.p, c.value if c.high is None else c.high) for c in first])
    lower = _stepped([(c.p, c.value if c.low is None else c.low) for c in first]).split(" ")[::-1]
    names = "".join(
        f'<text class="name" x="{_x(at) + 3:.1f}" y="{_y(value) - 4:.1f}">{place}</text>'
        for place, row in enumerate(rows[:_CURVES], 1)
        for at, value in [_named_at(row, place)]
    )
    return Markup(
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" aria-hidden="true" focusable="false" data-fast-p data-left="{_LEFT}" '
        f'data-right="{_WIDTH - _RIGHT}" data-least="{_LEAST}" data-most="{MOST_P}">{grid}'
        f'<polygon class="band" points="{upper} {" ".join(lower)}"/>{curves}{names}'
        f'<line class="mark" x1="{_x(p):.1f}" x2="{_x(p):.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
        f'<text x="{(_WIDTH + _LEFT) / 2:.0f}" y="{_HEIGHT - 4}" text-anchor="middle">p: faster than p times the baseline</text></svg>'
    )


def _stepped(places: Sequence[tuple[float, float]]) -> str:
    """Level from each place to the next, then down, and level to the right edge."""
    made = []
    for number, (p, share) in enumerate(places):
        end = places[number + 1][0] if number + 1 < len(places) else MOST_P
        made += [f"{_x(p):.1f},{_y(share):.1f}", f"{_x(end):.1f},{_y(share):.1f}"]
    return " ".join(made)


def _named_at(row: BoardRow, place: int) -> tuple[float, float]:
    """Where the name of a curve stands: at another p for each, so that names of like curves do not lie on one another."""
    p = (0.45, 0.6, 0.85, 1.1, 1.4)[place - 1]
    return p, [each.value for each in row.curve if each.p <= p][-1]
