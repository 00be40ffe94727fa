"""How a row of the leaderboard is put into words, for the terminal, Markdown and pages alike."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from statistics import median

from kernelwright.bench_tasks.scoring.board import Row, Section
from kernelwright.bench_tasks.scoring.intervals import Figure
from kernelwright.bench_tasks.scoring.outcomes import outcomes
from kernelwright.bench_tasks.scoring.results import Entry, Integrity
from kernelwright.bench_tasks.suite import Scale
from kernelwright.words import counted, one_line, ratio

__all__ = [
    "LEGEND",
    "Cell",
    "author",
    "cells",
    "columns",
    "figure_words",
    "in_one_line",
    "interval_words",
    "legend",
    "percent_words",
    "task_cell",
]

Cell = tuple[str, str]
"""What stands in a cell, and below it in small letters what belongs to it: an interval for instance."""

LEGEND = (
    "Solved and fast_p are shares of all tasks of the entry; geomean and median are speed-ups over all of them, an unsolved "
    "or slower one counting 1x (the original is kept). Beside each is its 95 % interval over tasks. Entries share a rank where no "
    "difference to the first of the rank is shown on the same tasks."
)
MODELLED = (
    "Modelled times: no interval here holds how far the performance model may be off, which is more than most of them. "
    "`kernelwright bench baseline` tells it beside each time, docs/performance-model.md how it was found."
)
TWINS = "At the small sizes of twins starting kernels takes most of the time: speed-ups there say little of full sizes."


def author(entry: Entry) -> str:
    """Who, and that it was sent in."""
    return one_line(entry.author, 60) + (" (submitted)" if entry.submitted else "")


def cells(row: Row) -> dict[str, Cell]:
    """By heading, from left to right."""
    entry, covered = row.entry, row.coverage
    repeats = f", {covered.repeats} repeats" if covered.repeats > 1 else ""
    found: dict[str, Cell] = {
        "rank": (str(row.rank), ""),
        "author": (author(entry), one_line(f"{entry.strategy}, {counted(entry.rounds, 'round')}", 60)),
        "coverage": (f"{covered.tried}/{covered.asked}", f"of {covered.suite}{repeats}"),
        "solved": percent_words(row.correctness),
        "fast_1": percent_words(row.fast_1),
    }
    if row.p != 1.0:
        found[f"fast_{row.p:g}"] = percent_words(row.fast_p)
    return found | {
        "geomean": figure_words(row.geomean),
        "median": figure_words(row.median),
        "pass@1": ("-", "") if row.pass_1 is None else percent_words(row.pass_1),
        "roofline": (
            "-" if row.roofline_solved is None else f"{100 * row.roofline_solved:.0f} %",
            f"all {100 * row.roofline_all:.0f} %",
        ),
        "per solved": (_dollars(row.costs.dollars_per_solved), _seconds(row.costs.seconds_per_solved)),
        "integrity": _integrity(row),
        "evidence": (one_line(entry.id, 40), f"env {row.environment}, {entry.created:%Y-%m-%d}"),
    }


def figure_words(figure: Figure) -> Cell:
    """A speed-up and its interval."""
    return ratio(figure.value), interval_words(figure.low, figure.high)


def interval_words(low: float | None, high: float | None) -> str:
    """The interval of a speed-up; empty where there is none, or none that has a width in two digits."""
    if low is None or high is None or f"{low:.2f}" == f"{high:.2f}":
        return ""
    return f"{low:.2f} to {high:.2f}"


def legend(sections: Sequence[Section]) -> str:
    """What stands beside the tables: how to read them, and how far times may be off that were not measured."""
    kinds = {section.ground.timing_kind for section in sections}
    twins = any(section.ground.scale is Scale.TWIN for section in sections)
    parts = [LEGEND, MODELLED if "modelled" in kinds else "", TWINS if twins and "modelled" in kinds else ""]
    return " ".join(part for part in parts if part)


def percent_words(figure: Figure) -> Cell:
    """A share in percent and its interval."""
    small = "" if figure.low is None or figure.high is None else f"{100 * figure.low:.0f} to {100 * figure.high:.0f}"
    return f"{100 * figure.value:.0f} %", small


def task_cell(entry: Entry, task: str) -> Cell:
    """What came of one task: the median speed-up of the repeats that solved it, or why none did."""
    found = outcomes(entry)[task]
    solved = [each.speedup for each in found if each.speedup is not None]
    trials = [each.trial for each in found if each.trial is not None]
    if solved:
        marks = [trial.integrity.value for trial in trials if trial.integrity is not Integrity.CLEAN]
        few = f"{len(solved)} of {len(found)}" if len(found) > 1 else ""
        return ratio(median(solved)), ", ".join([*([few] if few else []), *dict.fromkeys(marks)])
    if any(trial.integrity is Integrity.REFUSED for trial in trials):
        return "refused", one_line(next(r for t in trials for r in (*t.remarks, "")), 120)
    verdicts = [attempt.verdict for trial in trials for attempt in trial.attempts]
    if verdicts:
        return one_line(verdicts[-1], 40).replace("_", " "), ""
    return "not run" if not trials else "none", one_line(trials[0].problem, 120) if trials else ""


def in_one_line(cell: Cell) -> str:
    """The two parts of a cell, the second in brackets."""
    return f"{cell[0]} ({cell[1]})" if cell[1] else cell[0]


def columns(section: Section) -> list[str]:
    """The headings of a section's table."""
    return list(cells(section.rows[0]))


def _integrity(row: Row) -> Cell:
    counts = row.integrity
    worst = next((kind for kind in reversed(Integrity) if counts[kind]), None)
    if worst is None:
        return "-", ""
    told = [f"{counts[kind]} {kind.value}" for kind in Integrity if counts[kind]]
    return worst.value, ", ".join(told) if len(told) > 1 else ""


def _dollars(value: Decimal | None) -> str:
    if value is None:
        return "-"
    return f"${value:.2f}" if value >= Decimal("0.1") or value == 0 else f"${value:.4f}"


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f} s" if value < 600 else f"{value / 60:.0f} min"
