"""The roofline as a picture, by matplotlib (extra `[plot]`); the kind of every time stands on it."""

from __future__ import annotations

import importlib.util
import math
import textwrap
import unicodedata
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelwright.verifier.evaluation import TimingKind
from kernelwright.verifier.profilers.bounds import Roofline, summary
from kernelwright.verifier.profilers.tools import Problem, ProblemKind
from kernelwright.verifier.wording import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLOURS", "FORMATS", "STYLE", "draw"]

FORMATS = (".svg", ".png", ".pdf")
_KERNELS_TOLD = 6  # in words below the picture; all have their point
_BARS = 14
_WIDTH = 10.5  # inches
_WRAP = 160  # characters of a line of words, at 7.5 points
_KIND = {TimingKind.MEASURED: "times MEASURED on the GPU", TimingKind.MODELLED: "times MODELLED, not measured"}
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#7f7f7f")
_MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: small, searchable, read out by screen readers
    "svg.hashsalt": "kernelwright",  # the same roofline gives the same file
    "text.parse_math": False,  # a kernel's name may hold a dollar sign
    "font.family": "DejaVu Sans",
}


def draw(roofline: Roofline, path: Path) -> Problem | None:
    """Writes the picture; its form follows the file's ending, one of `FORMATS`.

    Returns:
        Why there is no picture, if matplotlib is not installed.

    Raises:
        ValueError: another ending.
        OSError: the file can't be written.
    """
    if path.suffix.lower() not in FORMATS:
        raise ValueError(
            f"a picture can't be written as {path.suffix or 'a file without an ending'}; choose one of {', '.join(FORMATS)}"
        )
    if importlib.util.find_spec("matplotlib") is None:
        return Problem(
            "matplotlib", ProblemKind.MISSING, "matplotlib is not installed, so the roofline can't be drawn.",
            "Install it with `pip install 'kernelwright[plot]'`.",
        )  # fmt: skip
    import matplotlib
    from matplotlib.figure import Figure

    words = [textwrap.fill(_plain(text), _WRAP, subsequent_indent="    ") for text in summary(roofline)[:_KERNELS_TOLD]]
    if left := len(roofline.points) - len(words):
        words.append(f"and {counted(left, 'further kernel')}")
    lines = sum(text.count("\n") + 2 for text in words)
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph"
        )  # a name in a script that the font lacks: the SVG has it as text
        below = 0.131 * lines + 0.1  # inches: a line of 7.5 points with its gap
        height = 5.4 + below
        figure = Figure(figsize=(_WIDTH, height))
        bottom, tall = (below + 0.55) / height, (height - below - 1.3) / height
        axes = figure.add_axes((0.075, bottom, 0.575, tall))
        _roofs(axes, roofline)
        _points(axes, roofline)
        _bars(figure.add_axes((0.69, bottom, 0.285, tall)), roofline)
        figure.text(
            0.02, 1 - 0.28 / height, f"Roofline of {roofline.gpu}: {_KIND[roofline.kind]}", fontsize=13, weight="bold"
        )
        figure.text(
            0.02,
            1 - 0.52 / height,
            f"Roofs: {roofline.roofs_from}. Times without launch cost.",
            fontsize=8.5,
            color="#444444",
        )
        figure.text(0.02, below / height, "\n\n".join(words), fontsize=7.5, va="top", linespacing=1.25)
        kind = path.suffix.lower().removeprefix(".")
        figure.savefig(
            path, format=kind, metadata={"Date": None} if kind == "svg" else None
        )  # a file that can be compared
    return None


def _roofs(axes: Axes, roofline: Roofline) -> None:
    placed = [(point, x) for point in roofline.points if (x := point.intensity) is not None]
    used = {point.pipe for point, _ in placed} | {"fp32"}
    peaks = {name: peak for name, peak in roofline.peaks.items() if name in used}
    ridges = [peak / roofline.bandwidth for peak in peaks.values()]
    low = min([x for _, x in placed] + [0.1]) / 3
    high = max([x for _, x in placed] + [10 * max(ridges)]) * 2
    floor = min([point.achieved for point, _ in placed] + [low * roofline.bandwidth]) / 3
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(floor, max(peaks.values()) * 4))
    for name, peak in peaks.items():
        ridge = peak / roofline.bandwidth
        axes.plot([low, ridge, high], [low * roofline.bandwidth, peak, peak], color="#333333", linewidth=1.4)
        axes.text(
            high / 1.1, peak * 1.08, f"{name} peak {peak / 1e12:.3g} TFLOP/s", ha="right", va="bottom", fontsize=8
        )
    (x0, y0), (x1, y1) = axes.transData.transform([(x, x * roofline.bandwidth) for x in (low, 10 * low)])
    axes.annotate(
        f"DRAM {roofline.bandwidth / 1e12:.3g} TB/s", (1.5 * low, 1.5 * low * roofline.bandwidth), xytext=(-3, 4), fontsize=8,
        textcoords="offset points", ha="left", va="bottom", rotation=math.degrees(math.atan2(y1 - y0, x1 - x0)), rotation_mode="anchor",
    )  # fmt: skip
    axes.set_xlabel("arithmetic intensity (FLOP per byte of DRAM traffic)", fontsize=9)
    axes.set_ylabel(f"FLOP/s, {roofline.kind.value}", fontsize=9)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_major_formatter(lambda value, _: _with_prefix(value))
    axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
    axes.tick_params(labelsize=8)


def _points(axes: Axes, roofline: Roofline) -> None:
    """Kernels that have FLOPs and traffic, each with a line up to its roof; the others have no place on these axes."""
    for at, point in enumerate(roofline.points):
        x = point.intensity
        if x is None:
            continue
        colour = COLOURS[at % len(COLOURS)]
        roof = min(x * roofline.bandwidth, roofline.peaks.get(point.pipe, math.inf))
        axes.plot([x, x], [point.achieved, max(roof, point.achieved)], color=colour, linewidth=0.9, linestyle=":")
        axes.plot([x], [point.achieved], linestyle="none", marker=_MARKS[at % len(_MARKS)], color=colour, markersize=8)


def _bars(axes: Axes, roofline: Roofline) -> None:
    """How near each kernel is to its bound, those without a place among the points too."""
    shown = roofline.points[:_BARS]
    for at, point in enumerate(shown):
        colour = COLOURS[at % len(COLOURS)]
        axes.barh(at, 100 * point.share, height=0.34, color=colour)
        axes.plot([1.5], [at - 0.36], marker=_MARKS[at % len(_MARKS)], color=colour, markersize=5, clip_on=False)
        name = _plain(point.name)
        short = name if len(name) <= 30 else name[:27] + "..."
        off = "" if point.intensity is not None else " (no FLOPs)" if not point.flops else " (no DRAM traffic)"
        axes.text(4, at - 0.36, f"{short}: {100 * point.share:.0f} %{off}", fontsize=7.5, va="center")
    axes.set(xlim=(0, 100), ylim=(max(len(shown), 4) - 0.4, -0.7), yticks=[])
    axes.set_xlabel(f"share of the bound in %, {roofline.kind.value}", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _with_prefix(value: float) -> str:
    """``10 T``."""
    for prefix, size in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g} {prefix}"
    return f"{value:g}"


def _plain(text: str) -> str:
    """Without control characters, which an XML file may not hold."""
    return " ".join("".join(" " if unicodedata.category(c).startswith("C") else c for c in text).split())
