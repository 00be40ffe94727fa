"""How times spread: a row of dots for each group, on one axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from kernelwright.web.charts.frame import Box, below, drawing, label, linear, text
from kernelwright.web.charts.intervals import duration_or_zero
from kernelwright.words import counted, duration

__all__ = ["spread"]

_ROW = 26
_MOST = 24  # groups
_DOTS = 400  # of a group; a measured one has some dozens


def spread(groups: Mapping[str, Sequence[float]], title: str) -> Markup:
    """The chart; empty without times.

    Args:
        groups: times in seconds by name.
    """
    shown = [(name, sorted(times)[:_DOTS]) for name, times in list(groups.items())[:_MOST] if times]
    if not shown:
        return Markup("")
    every = [seconds for _, times in shown for seconds in times]
    low, high = min(every), max(every)
    margin = (high - low) * 0.05 or high * 0.05
    box = Box(height=8 + _ROW * len(shown) + 44, left=130, right=24, top=8)
    across = linear(low - margin, high + margin, box.left, box.x1, 3)
    digits = high - low < 0.02 * high  # three digits would call neighbouring ticks the same
    words = (lambda t: f"{t * 1e6:.4g} µs") if digits else duration_or_zero
    parts = [below(box, across, words, title)]
    for number, (name, times) in enumerate(shown):
        y = box.top + _ROW * number + _ROW / 2
        parts.append(text(box.left - 8, y + 4, label(name, 18), anchor="end"))
        seen: dict[int, int] = {}
        for seconds in times:
            x = across.place(seconds)
            stacked = seen[round(x)] = seen.get(round(x), -1) + 1
            parts.append(f'<circle class="spot" cx="{x:.1f}" cy="{y - min(stacked, 3) * 3 + 4:.1f}" r="3.5"/>')
    told = "; ".join(f"{name}: {counted(len(t), 'time')}, {duration(t[0])} to {duration(t[-1])}" for name, t in shown)
    return drawing(box, parts, title, told)
