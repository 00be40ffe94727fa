"""What people read of a report: tables in the terminal, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kernelwright.bench_tasks.scoring.intervals import Figure
from kernelwright.markdown import inert, plain, table
from kernelwright.reporting import Report, Section
from kernelwright.rl.curves import ArmFigures
from kernelwright.words import counted, duration, kind_words, share

__all__ = ["csv_text", "markdown_text", "report_view"]

_FIRST_TO_GO = ("a run", "dollars", "solved")
"""Columns that a narrow terminal does without, in this order."""


def report_view(report: Report, width: int) -> RenderableType:
    """A table for each section, and what must be known to read it.

    Args:
        width: of the terminal, in characters.
    """
    parts: list[RenderableType] = []
    for section in report.sections:
        headings, rows = _headings(report), [_cells(report, arm) for arm in section.arms]
        drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
        shown = _fitting(headings, rows, width)
        for name in shown:
            drawn.add_column(name, overflow="fold", justify="left" if name == headings[0] else "right")
        for cells in rows:
            drawn.add_row(*(Text(cells[headings.index(name)]) for name in shown))
        parts += [Text(_heading(section), style="bold"), drawn]
    parts += [Text(line, style="dim") for line in _notes(report)]
    return Group(*parts)


def markdown_text(report: Report) -> str:
    """The same tables as Markdown."""
    parts = ["# Strategies compared"]
    for section in report.sections:
        parts += [
            f"## {plain(_heading(section))}",
            table(_headings(report), [[plain(cell) for cell in _cells(report, arm)] for arm in section.arms]),
        ]
    return "\n\n".join([*parts, "\n".join(f"- {plain(line)}" for line in _notes(report))]) + "\n"


def csv_text(report: Report) -> str:
    """A line for each point of each run's curve: everything that a plot of one's own needs; times in seconds."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["kind", "gpu", "arm", "run", "task_id", "task", "evaluations", "dollars", "seconds", "best", "best_known"]
    )
    for section in report.sections:
        for curve in section.curves:
            ground = curve.ground
            first = [section.kind, section.gpu, inert(curve.arm), curve.run, ground.task_id, inert(ground.task)]
            for point in curve.points:
                writer.writerow([*first, *asdict(point).values(), section.known.get(ground)])
    return out.getvalue()


def _fitting(headings: list[str], rows: list[list[str]], width: int) -> list[str]:
    """The headings that a terminal of this width has room for; figures may break into two lines."""
    needed = {
        name: max(len(word) for text in (name, *(row[place] for row in rows)) for word in (text.split() or [""]))
        for place, name in enumerate(headings)
    }
    needed[headings[0]] = min(24, max(len(row[0]) for row in rows))
    for name in _FIRST_TO_GO:
        if sum(needed.values()) + 2 * len(needed) > width:
            del needed[name]
    return list(needed)


def _heading(section: Section) -> str:
    curves = [curve for curve in section.curves if curve.points]
    tasks = len({curve.ground for curve in curves})
    return f"{counted(tasks, 'task')}, {counted(len(curves), 'run')}, times {kind_words(section.kind, section.gpu)}"


def _headings(report: Report) -> list[str]:
    near = f"evaluations to {share(report.within)} of the best"
    headings = ["arm", "tasks", "runs", "solved", "of the best known", near, "a run", "dollars"]
    return [*headings, "ratio"] if report.control is not None else headings


def _cells(report: Report, arm: ArmFigures) -> list[str]:
    missed = f", {arm.missed} never" if arm.missed else ""
    cells = [
        arm.arm, str(arm.tasks), str(arm.runs), str(arm.passed), _figure(arm.share, 100, "{:.0f}", " %"),
        f"{'at least ' if arm.missed else ''}{_figure(arm.evaluations, 1, '{:.1f}')}{missed}", duration(arm.seconds),
        f"${arm.dollars:.4g}" if arm.dollars else "",
    ]  # fmt: skip
    if report.control is None:
        return cells
    return [*cells, "" if arm.ratio is None else _figure(arm.ratio, 1, "{:.2f}")]


def _notes(report: Report) -> Sequence[str]:
    over = "" if report.control is None else f" The ratio is over the evaluations of {report.control}, paired by task."
    return [
        "In brackets: 95 % intervals, over tasks, or over runs where there is one task. The best known time is the best in the "
        f"store. A run that never came near it counts with all its evaluations.{over}",
        *report.remarks,
    ]


def _figure(figure: Figure, scale: float, form: str, unit: str = "") -> str:
    value = form.format(scale * figure.value) + unit
    if figure.low is None or figure.high is None:
        return value
    return f"{value} ({form.format(scale * figure.low)} to {form.format(scale * figure.high)})"
