"""The leaderboard as CSV and Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from kernelwright.bench_tasks.scoring.board import Row, Section
from kernelwright.bench_tasks.scoring.intervals import Figure
from kernelwright.leaderboard.cells import LEGEND, cells, columns, in_one_line, task_cell
from kernelwright.markdown import inert, plain, table

__all__ = ["csv_text", "markdown_text"]


def csv_text(sections: Sequence[Section]) -> str:
    """A line for each entry. What must not be mixed stands in the first columns; shares are of 1, times in seconds."""
    out = io.StringIO()
    rows = [_csv_row(section, row) for section in sections for row in section.rows]
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(out, names or ["suite"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def markdown_text(sections: Sequence[Section], *, tasks: bool = False) -> str:
    """A heading and a table for each section.

    Args:
        tasks: a table of the tasks too.
    """
    if not sections:
        return "No entries.\n"
    parts = ["# Leaderboard", plain(LEGEND)]
    for section in sections:
        parts.append(f"## {plain(section.ground.heading)}")
        parts.append(f"Suite digest `{plain(section.ground.digest)}`.")
        names = columns(section)
        parts.append(
            table(
                names,
                [[plain(in_one_line(cells(row)[name])) for name in names] for row in section.rows],
            )
        )
        if tasks:
            heads = ["task", *(f"{row.rank}. {plain(row.entry.id)}" for row in section.rows)]
            parts.append(
                table(
                    heads,
                    [
                        [plain(task), *(plain(task_cell(row.entry, task)[0]) for row in section.rows)]
                        for task in section.ground.tasks
                    ],
                )
            )
    return "\n\n".join(parts) + "\n"


def _csv_row(section: Section, row: Row) -> dict[str, Any]:
    ground, entry = section.ground, row.entry
    found: dict[str, Any] = {
        "suite": ground.suite, "suite_digest": ground.digest, "scale": ground.scale.value,
        "timing_kind": ground.timing_kind, "gpu": ground.gpu, "baseline": ground.baseline, "claimed": ground.claimed,
        "rank": row.rank, "id": entry.id, "author": entry.author, "submitted": entry.submitted,
        "strategy": entry.strategy, "judge": entry.judge, "rounds": entry.rounds, "created": entry.created.isoformat(),
        "tasks_tried": row.coverage.tried, "tasks": row.coverage.asked, "suite_tasks": row.coverage.suite,
        "tasks_solved": row.coverage.solved, "repeats": row.coverage.repeats,
    }  # fmt: skip
    figures: dict[str, Figure | None] = {
        "correctness": row.correctness, "fast_1": row.fast_1, f"fast_{row.p:g}": row.fast_p, "geomean": row.geomean,
        "median": row.median, "geomean_as_returned": row.geomean_returned, "geomean_of_solved": row.geomean_solved,
        "pass_1": row.pass_1,
    }  # fmt: skip
    for name, figure in figures.items():
        for part in ("value", "low", "high"):
            key = name if part == "value" else f"{name}_{part}"
            found[key] = None if figure is None else getattr(figure, part)
    found |= {
        "roofline_of_solved": row.roofline_solved, "roofline_of_all": row.roofline_all,
        "dollars": row.costs.dollars, "seconds": row.costs.seconds,
        "dollars_per_solved": row.costs.dollars_per_solved, "seconds_per_solved": row.costs.seconds_per_solved,
        **{kind.value: count for kind, count in row.integrity.items()}, "environment_hash": row.environment,
    }  # fmt: skip
    return {name: inert(value) if isinstance(value, str) else value for name, value in found.items()}
