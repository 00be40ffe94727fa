"""Times side by side, each with its interval: bars from zero, so that lengths compare as times do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from kernelwright.web.charts.frame import Box, below, drawing, label, linear, text
from kernelwright.words import between, duration

__all__ = ["Bar", "bars"]

_ROW = 34


@dataclass(frozen=True)
class Bar:
    """One time, in seconds."""

    name: str
    seconds: float
    low: float | None = None
    high: float | None = None
    own: bool = False
    """Whether it is the one that the chart is about."""


def bars(rows: Sequence[Bar], kind: str, gpu: str) -> Markup:
    """The chart; empty without rows.

    Args:
        kind: of all these times, `measured` or `modelled`: they are never mixed in one chart.
    """
    if not rows:
        return Markup("")
    box = Box(height=16 + _ROW * len(rows) + 44, left=96, right=24, top=8)
    most = max(max(row.seconds, row.high or 0.0) for row in rows)
    across = linear(0.0, most * 1.02, box.left, box.x1)
    parts = [
        below(box, across, duration_or_zero, f"one call, {kind} {'for' if kind == 'modelled' else 'on'} {label(gpu)}")
    ]
    for number, row in enumerate(rows):
        y = box.top + _ROW * number + _ROW / 2 + 2
        end = across.place(row.seconds)
        parts.append(
            f'<rect class="{"bar own" if row.own else "bar"}" x="{box.left}" y="{y - 9:.1f}" width="{max(end - box.left, 1):.1f}" height="18"/>'
        )
        if row.low is not None and row.high is not None:
            a, b = across.place(row.low), across.place(row.high)
            parts.append(
                f'<path class="whisker" d="M{a:.1f},{y - 6:.1f}v12M{a:.1f},{y:.1f}H{b:.1f}M{b:.1f},{y - 6:.1f}v12"/>'
            )
        parts.append(text(box.left - 8, y + 4, label(row.name, 14), anchor="end"))
    told = "; ".join(f"{row.name} {duration(row.seconds)}{between(row.low, row.high)}" for row in rows)
    return drawing(box, parts, f"Times {kind}", told)


def duration_or_zero(seconds: float) -> str:
    """A tick's time: `0`, or three digits at most, without needless ones."""
    if seconds <= 0:
        return "0"
    number, unit = duration(seconds).split(" ")
    return f"{float(number):g} {unit}"
