"""The curves of a report as a picture, by matplotlib (extra `[plot]`); the kind of every time stands on it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelwright.errors import ConfigError, MisuseError
from kernelwright.reporting import Report, Section
from kernelwright.rl.curves import Axis, Band
from kernelwright.words import counted, one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FORMATS", "check_plot", "draw"]

FORMATS = (".svg", ".png", ".pdf")
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#7f7f7f")
_LINES = ("-", "--", "-.", ":")
"""So that arms differ without colour, too."""
_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "kernelwright",  # the same report gives the same file
    "text.parse_math": False,  # a name may hold a dollar sign
    "font.family": "DejaVu Sans",
}
_UNITS = {
    Axis.EVALUATIONS: "evaluations",
    Axis.DOLLARS: "dollars, calls of language models",
    Axis.SECONDS: "seconds of attempts, one after another",
}


def check_plot(path: Path) -> None:
    """Makes sure that a picture can be drawn there, before anything else is done.

    Raises:
        MisuseError: the file's ending is none of `FORMATS`.
        ConfigError: matplotlib is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise MisuseError(
            f"a picture can't be written as {path.suffix or 'a file without an ending'}.",
            mend=f"Choose one of {', '.join(FORMATS)}.", path=str(path),
        )  # fmt: skip
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError(
            "matplotlib is not installed, so the curves can't be drawn.",
            mend="Install it with `pip install 'kernelwright[plot]'`.",
        )


def draw(report: Report, path: Path) -> None:
    """Writes a row of curves for each section; the form follows the file's ending.

    Raises:
        MisuseError: it can't be written.
    """
    import matplotlib
    from matplotlib.figure import Figure

    axes = [axis for axis in Axis if any(band.axis is axis for s in report.sections for band in s.bands)]
    rows = len(report.sections)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(5.2 * max(1, len(axes)), 3.9 * rows + 0.4), layout="constrained")
        grid = figure.subplots(rows, max(1, len(axes)), squeeze=False)
        for section, row in zip(report.sections, grid, strict=True):
            for place, (axis, drawn) in enumerate(zip(axes, row, strict=True)):
                _curves(drawn, section, axis, first=place == 0)
        figure.suptitle(f"Best so far; bands are 95 % intervals ({_kinds(report)})", fontsize=11)
        try:
            figure.savefig(path, metadata=_metadata(path), dpi=130)
        except OSError as error:
            raise MisuseError(f"the picture can't be written: {error.strerror or error}.", path=str(path)) from error


def _curves(drawn: Axes, section: Section, axis: Axis, *, first: bool) -> None:
    order = {arm.arm: place for place, arm in enumerate(section.arms)}
    for band in section.bands:
        if band.axis is axis:
            _curve(drawn, band, order[band.arm])
    drawn.set_ylim(0, 1.02)
    drawn.set_xlim(left=0)
    drawn.set_xlabel(_UNITS[axis])
    drawn.grid(alpha=0.25)
    tasks = len({curve.ground for curve in section.curves if curve.points})
    drawn.set_title(f"times {section.kind.upper()}, {section.gpu}, {counted(tasks, 'task')}", fontsize=9)
    if first:
        drawn.set_ylabel("share of the best known time")
        drawn.legend(fontsize=7, loc="lower right")


def _curve(drawn: Axes, band: Band, place: int) -> None:
    colour, line = _COLOURS[place % len(_COLOURS)], _LINES[place // len(_COLOURS) % len(_LINES)]
    values = [figure.value for figure in band.shares]
    low = [figure.value if figure.low is None else figure.low for figure in band.shares]
    high = [figure.value if figure.high is None else figure.high for figure in band.shares]
    drawn.fill_between(band.at, low, high, step="post", alpha=0.15, color=colour, linewidth=0)
    # a name that begins with an underscore would be left out of the legend
    drawn.step(band.at, values, line, where="post", color=colour, label=one_line(band.arm, 60).lstrip("_") or "?")


def _kinds(report: Report) -> str:
    return " and ".join(dict.fromkeys(f"times {section.kind}" for section in report.sections))


def _metadata(path: Path) -> dict[str, Any]:
    return {"Date": None} if path.suffix.lower() == ".svg" else {}
