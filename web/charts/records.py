"""How the fastest kernel of a task became faster over time: falling steps, one line a GPU, of one kind of time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from html import escape

from markupsafe import Markup

from kernelwright.web.views.tasks import Record
from kernelwright.web.words import duration, line

__all__ = ["records_chart"]

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 260, 72, 96, 14, 40
_LINES = 5


def records_chart(records: Sequence[Record], until: datetime | None = None) -> Markup:
    """The records of one kind of time. A table beside it says the same, so it is hidden from screen readers.

    Args:
        until: where the lines end; the last record by default.
    """
    by_gpu: dict[str, list[Record]] = {}
    for record in records:
        by_gpu.setdefault(record.gpu, []).append(record)
    if not by_gpu:
        return Markup("")
    moments = [record.created.timestamp() for record in records] + ([until.timestamp()] if until else [])
    begin, end = min(moments), max(moments)
    times = [record.seconds for record in records]
    least, most = math.log(min(times) / 1.15), math.log(max(times) * 1.15)

    def x(moment: datetime) -> float:
        share = (moment.timestamp() - begin) / (end - begin) if end > begin else 0.0
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(seconds: float) -> float:
        return _TOP + (most - math.log(seconds)) / (most - least) * (_HEIGHT - _TOP - _BOTTOM)

    marks = [math.exp(least + (most - least) * share) for share in (0.08, 0.36, 0.64, 0.92)]
    grid = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>'
        f'<text x="{_LEFT - 8}" y="{y(v) + 4:.1f}" text-anchor="end">{escape(duration(v))}</text>'
        for v in marks
    )
    first, last = min(r.created for r in records), max(r.created for r in records)
    dates = f'<text x="{_LEFT}" y="{_HEIGHT - _BOTTOM + 18}">{first:%Y-%m-%d}</text>'
    if f"{last:%Y-%m-%d}" != f"{first:%Y-%m-%d}":
        dates += f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="end">{last:%Y-%m-%d}</text>'
    drawn: list[str] = []
    labels: list[tuple[float, str]] = []
    for place, (gpu, own) in enumerate(list(by_gpu.items())[:_LINES], 1):
        steps = [f"M{x(own[0].created):.1f} {y(own[0].seconds):.1f}"]
        steps += [f"H{x(each.created):.1f}V{y(each.seconds):.1f}" for each in own[1:]]
        steps.append(f"H{_WIDTH - _RIGHT + 4}")
        dots = "".join(f'<circle class="dot" cx="{x(r.created):.1f}" cy="{y(r.seconds):.1f}" r="3.5"/>' for r in own)
        drawn.append(f'<path class="line curve-{place}" d="{"".join(steps)}"/>{dots}')
        labels.append((y(own[-1].seconds) + 4, line(gpu, 14)))
    names, lowest = "", 0.0
    for at, gpu in sorted(labels):
        lowest = max(at, lowest + 14)  # names do not lie on one another
        names += f'<text x="{_WIDTH - _RIGHT + 8}" y="{lowest:.1f}">{escape(gpu)}</text>'
    return Markup(
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" aria-hidden="true" focusable="false">{grid}{"".join(drawn)}{names}{dates}'
        f'<text x="{(_WIDTH + _LEFT - _RIGHT) / 2:.0f}" y="{_HEIGHT - 4}" text-anchor="middle">time of the fastest kernel ({records[0].kind.value}), by day</text></svg>'
    )
