"""A roofline: kernels under the roofs of their GPU (S. Williams, A. Waterman, D. Patterson, "Roofline", CACM 52(4), 2009)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from kernelwright.web.charts.frame import Box, below, beside, drawing, label, logarithmic, polyline, prefixed, text

__all__ = ["Place", "roofline", "shape"]

_SHAPES = (
    "M-6,0A6,6 0 1 0 6,0A6,6 0 1 0 -6,0Z", "M-5.5,-5.5H5.5V5.5H-5.5Z", "M0,-7L6.5,5H-6.5Z", "M0,-7.5L6,0L0,7.5L-6,0Z", "M0,7L6.5,-5H-6.5Z",
    "M-2.2,-6.5H2.2V-2.2H6.5V2.2H2.2V6.5H-2.2V2.2H-6.5V-2.2H-2.2Z",
)  # fmt: skip
"""Circle, square, triangle, diamond, triangle on its head, cross: kernels differ in shape, and in colour besides."""


@dataclass(frozen=True)
class Place:
    """A kernel in the picture."""

    name: str
    intensity: float
    """FLOPs a byte of DRAM."""
    achieved: float
    """FLOP/s."""
    pipe: str
    """Whose roof it stands under."""


def shape(number: int, x: float, y: float) -> str:
    """The mark of the kernel with this number, from 0."""
    return f'<path class="mark m{number % 8}" d="{_SHAPES[number % len(_SHAPES)]}" transform="translate({x:.1f} {y:.1f})"/>'


def roofline(places: Sequence[Place], bandwidth: float, peaks: Mapping[str, float], kind: str, gpu: str) -> Markup:
    """The chart; empty if no kernel has a place in it.

    Args:
        bandwidth: bytes per second of DRAM.
        peaks: FLOP/s by pipe; those that no kernel uses are left out, but float32's.
    """
    if not places:
        return Markup("")
    used = {name: peak for name, peak in peaks.items() if name == "fp32" or name in {place.pipe for place in places}}
    ridges = [peak / bandwidth for peak in used.values()]
    low = min([place.intensity for place in places] + [0.1]) / 3
    high = max([place.intensity for place in places] + [10 * max(ridges)]) * 2
    floor = min([place.achieved for place in places] + [low * bandwidth]) / 2
    box = Box(height=340, top=28)
    across = logarithmic(low, high, box.left, box.x1)
    most = max([*used.values(), *(place.achieved for place in places)])
    up = logarithmic(floor, most * 3, box.y1, box.top)
    parts = [
        below(box, across, prefixed, "FLOP per byte of DRAM traffic"),
        beside(box, up, prefixed, f"FLOP/s, {kind}"),
    ]
    for number, (name, peak) in enumerate(sorted(used.items(), key=lambda each: -each[1])):
        ridge = peak / bandwidth
        corners = [(low, low * bandwidth), (ridge, peak), (high, peak)]
        parts.append(polyline([(across.place(x), up.place(y)) for x, y in corners], "roof"))
        above = up.place(peak) - 5
        parts.append(
            text(box.x1 - 4, above, f"{label(name)} peak {prefixed(float(f'{peak:.3g}'))}FLOP/s", anchor="end")
        )
        if not number:
            x, y = across.place(low * 1.6), up.place(low * 1.6 * bandwidth)
            x2, y2 = across.place(low * 16), up.place(low * 16 * bandwidth)
            angle = math.degrees(math.atan2(y2 - y, x2 - x))
            words = f"DRAM {prefixed(float(f'{bandwidth:.3g}'))}B/s"
            parts.append(
                f'<text x="{x:.1f}" y="{y:.1f}" dy="-6" transform="rotate({angle:.1f} {x:.1f} {y:.1f})">{words}</text>'
            )
    for number, place in enumerate(places):
        roof = min(place.intensity * bandwidth, used.get(place.pipe, math.inf))
        x, y = across.place(place.intensity), up.place(place.achieved)
        parts.append(
            f'<line class="to-roof" x1="{x:.1f}" x2="{x:.1f}" y1="{y:.1f}" y2="{up.place(max(roof, place.achieved)):.1f}"/>'
        )
        parts.append(shape(number, x, y))
        if len(places) <= 6:
            parts.append(text(x + 10, y + 4, label(place.name, 28), kind="name"))
    told = "; ".join(
        f"{place.name}: {place.intensity:.3g} FLOP per byte, {prefixed(float(f'{place.achieved:.3g}'))}FLOP/s"
        for place in places
    )
    return drawing(box, parts, f"Roofline of {gpu}, times {kind}", told)
