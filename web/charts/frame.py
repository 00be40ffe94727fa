"""What charts share: scales, ticks and axes, as SVG text. Numbers and escaped text only; colours are classes of style.css."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

__all__ = [
    "Axis", "Box", "below", "beside", "drawing", "label", "linear", "logarithmic", "polyline", "prefixed", "text",
]  # fmt: skip


@dataclass(frozen=True)
class Box:
    """A chart's area in units of its view box, with the margins that its axes need. It is narrow, so that words are read on a phone."""

    width: float = 480
    height: float = 300
    left: float = 56
    right: float = 16
    top: float = 16
    bottom: float = 44

    @property
    def x1(self) -> float:
        """The right edge of what is drawn in."""
        return self.width - self.right

    @property
    def y1(self) -> float:
        """The lower edge of it."""
        return self.height - self.bottom


@dataclass(frozen=True)
class Axis:
    """A scale: where a value is drawn, and which values are labelled."""

    place: Callable[[float], float]
    ticks: tuple[float, ...]


def linear(low: float, high: float, start: float, end: float, count: int = 5) -> Axis:
    """From `low` to `high`, drawn from `start` to `end`; ticks at 1, 2 or 5 times a power of ten."""
    span = (high - low) or abs(high) or 1.0
    raw = span / max(1, count)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    ticks = tuple(n * step for n in range(first, first + 2 * count + 3) if n * step <= high + span * 1e-9)
    return Axis(lambda value: start + (value - low) / span * (end - start), ticks)


def logarithmic(low: float, high: float, start: float, end: float, count: int = 6) -> Axis:
    """The same on a logarithmic scale; ticks at powers of ten, or at 1, 2 and 5 times them where there is room.

    Raises:
        ValueError: `low` is not above 0.
    """
    if low <= 0:
        raise ValueError(f"a logarithmic axis begins above 0, not at {low}")
    least, most = math.log(low), math.log(max(high, low * 1.0001))
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(max(high, low))) + 1)
    fine = [factor * 10.0**d for d in decades for factor in (1, 2, 5)]
    inside = [t for t in fine if low * (1 - 1e-9) <= t <= high * (1 + 1e-9)]
    if len(inside) > count:
        powers = [t for t in inside if abs(math.log10(t) - round(math.log10(t))) < 1e-9]
        inside = (
            powers[:: max(1, math.ceil(len(powers) / count))] if len(powers) > 1 else inside[:: len(inside) // count]
        )
    return Axis(lambda v: start + (math.log(max(v, 1e-300)) - least) / (most - least) * (end - start), tuple(inside))


def prefixed(value: float) -> str:
    """With a prefix of SI where it is large: ``10 T``."""
    for prefix, size in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size * 0.9999:
            return f"{value / size:g} {prefix}"
    return f"{value:g}"


def label(value: str, limit: int = 40) -> str:
    """A stranger's text as text of an SVG: printable, short, escaped."""
    plain = _printable(value)
    return escape(plain if len(plain) <= limit else f"{plain[: limit - 3]}...")


def _printable(value: str) -> str:
    """Without what an XML file may not hold, and what turns the direction of writing."""
    return "".join(c if c.isprintable() else " " for c in value)


def text(x: float, y: float, words: str, *, anchor: str = "start", kind: str = "") -> str:
    """A word of the chart.

    Args:
        words: escaped already (`label`).
        kind: its class.
    """
    more = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{words}</text>'


def polyline(points: Sequence[tuple[float, float]], kind: str) -> str:
    """A line through points."""
    return f'<polyline class="{kind}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


def below(box: Box, axis: Axis, words: Callable[[float], str], title: str) -> str:
    """The horizontal axis, with its grid."""
    lines = [
        f'<line class="grid" x1="{axis.place(t):.1f}" x2="{axis.place(t):.1f}" y1="{box.top}" y2="{box.y1}"/>'
        + text(axis.place(t), box.y1 + 18, words(t), anchor="middle")
        for t in axis.ticks
    ]
    middle = (box.left + box.x1) / 2
    return "".join(lines) + text(middle, box.height - 6, escape(title), anchor="middle")


def beside(box: Box, axis: Axis, words: Callable[[float], str], title: str) -> str:
    """The vertical axis, with its grid; its title stands on top."""
    lines = [
        f'<line class="grid" x1="{box.left}" x2="{box.x1}" y1="{axis.place(t):.1f}" y2="{axis.place(t):.1f}"/>'
        + text(box.left - 6, axis.place(t) + 4, words(t), anchor="end")
        for t in axis.ticks
    ]
    return "".join(lines) + (text(4, 12, escape(title)) if title else "")


def drawing(box: Box, parts: Sequence[str], title: str, description: str = "") -> Markup:
    """The whole picture, with what it shows in words for who does not see it."""
    said = f"<title>{escape(_printable(title))}</title>"
    if description:
        said += f"<desc>{escape(_printable(description))}</desc>"
    size = f"0 0 {box.width:.0f} {box.height:.0f}"
    whole = f'<svg class="chart" viewBox="{size}" role="img" focusable="false">{said}{"".join(parts)}</svg>'
    return Markup(whole)  # numbers, and text that was escaped
