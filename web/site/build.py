"""Writes the site: an index, a page for each entry and each task, and the files that they offer.

Names and kernels are strangers': the templates escape everything, file names are made of hashes, a page may load nothing and run
nothing (its policy allows one style sheet, by hash), and no page links to another host.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelwright.bench_tasks.scoring.board import Row, Section
from kernelwright.bench_tasks.scoring.metrics import GRID, steps
from kernelwright.bench_tasks.scoring.results import Entry, Trial
from kernelwright.errors import MisuseError
from kernelwright.leaderboard.cells import (
    author,
    cells,
    columns,
    figure_words,
    in_one_line,
    interval_words,
    legend,
    percent_words,
    task_cell,
)
from kernelwright.web.site.charts import curve
from kernelwright.web.site.source import highlighted
from kernelwright.words import one_line, ratio

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["Proof", "check_folder", "write_site"]

_MARK = "kernelwright-leaderboard.txt"
_FOLDERS = ("entries", "tasks", "files")
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Proof:
    """What a page offers for a result."""

    source: str
    bundle: bytes | None
    """The evidence bundle; None where it can't be made any more."""


def check_folder(folder: Path) -> None:
    """Makes sure that a site can be written there.

    Raises:
        MisuseError: it is a file, or a folder that holds something else than a site written here.
    """
    shown = str(folder)
    if folder.exists() and not folder.is_dir():
        raise MisuseError("there is a file where the folder of the site should be.", path=shown)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _MARK).is_file():
        raise MisuseError(
            "the folder holds files that are no leaderboard's.", mend="Name a new or an empty one.", path=shown
        )


def write_site(folder: Path, sections: Sequence[Section], proof: Callable[[Trial], Proof | None]) -> Path:
    """Writes the site and returns its first page; a site that was there is replaced.

    Args:
        proof: kernel and evidence of a solved trial; None where there are none.

    Raises:
        MisuseError: as `check_folder`, or something can't be written.
    """
    check_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _MARK).write_text("Written by kernelwright leaderboard --html, and replaced by it.\n")
        for name in _FOLDERS:
            shutil.rmtree(folder / name, ignore_errors=True)
            (folder / name).mkdir()
        _write(folder, sections, proof)
    except OSError as error:
        raise MisuseError(f"the site can't be written: {error.strerror or error}.", path=str(folder)) from error
    return folder / "index.html"


def _write(folder: Path, sections: Sequence[Section], proof: Callable[[Trial], Proof | None]) -> None:
    templates = _templates()
    offered: dict[str, dict[str, Any] | None] = {}
    for trial in (t for s in sections for r in s.rows for t in r.entry.trials):
        if trial.solved and trial.evaluation_id and trial.evaluation_id not in offered:
            offered[trial.evaluation_id] = _offer(folder / "files", trial, proof(trial))
    shown = [
        {
            "heading": section.ground.heading,
            "slug": section.ground.slug,
            "digest": section.ground.digest,
            "columns": columns(section),
            "rows": [{"cells": cells(row), "page": _entry_page(row.entry)} for row in section.rows],
            "tasks": [(task, _task_page(section, task)) for task in section.ground.tasks],
        }
        for section in sections
    ]
    _page(
        folder / "index.html",
        templates,
        "index.html.j2",
        "Leaderboard",
        root="",
        sections=shown,
        legend=legend(sections),
    )
    for section in sections:
        for row in section.rows:
            _page(
                folder / "entries" / _entry_page(row.entry), templates, "entry.html.j2", one_line(row.entry.id, 80),
                root="../", **_entry_view(section, row, offered),
            )  # fmt: skip
    for page, view in _task_views(sections, offered).items():
        _page(folder / "tasks" / page, templates, "task.html.j2", view["task"], root="../", **view)


def _entry_view(section: Section, row: Row, offered: dict[str, dict[str, Any] | None]) -> dict[str, Any]:
    entry = row.entry
    return {
        "entry": entry,
        "who": author(entry),
        "heading": section.ground.heading,
        "legend": legend([section]),
        "cells": {name: cell for name, cell in cells(row).items() if name not in ("author", "evidence")},
        "further": _further(row),
        "svg": curve(steps(row.entry), GRID),
        "curve": [(f"{p:g}", *percent_words(figure)) for p, figure in row.curve],
        "environment": sorted(entry.environment.items()),
        "environment_hash": row.environment,
        "tasks": [
            {
                "name": task,
                "page": _task_page(section, task),
                "cell": task_cell(entry, task),
                "trials": [_trial_view(t, offered) for t in entry.trials if t.task == task],
            }
            for task in entry.tasks
        ],
    }


def _further(row: Row) -> list[tuple[str, str]]:
    """Figures that are no column of the table."""
    found = [("geomean as returned", in_one_line(figure_words(row.geomean_returned)))]
    if row.geomean_solved is not None:
        found.append(("geomean of solved tasks only", in_one_line(figure_words(row.geomean_solved))))
    if row.behind is not None:
        what = "a difference is shown" if row.behind.differ else "no difference is shown"
        found.append(("the first over this one", f"{in_one_line(figure_words(row.behind.ratio))}: {what}"))
    if row.cut:
        found.append(("speed-ups cut off at the roofline bound", str(row.cut)))
    found.append(("dollars and seconds, all", f"${row.costs.dollars:.2f}, {row.costs.seconds:.0f} s"))
    return found


def _task_views(sections: Sequence[Section], offered: dict[str, dict[str, Any] | None]) -> dict[str, dict[str, Any]]:
    views: dict[str, dict[str, Any]] = {}
    for section in sections:
        for task in section.ground.tasks:
            view = views.setdefault(
                _task_page(section, task),
                {"task": task, "suite": section.ground.suite, "digest": section.ground.digest, "sections": []},
            )
            rows = [
                {
                    "who": author(row.entry),
                    "page": _entry_page(row.entry),
                    "cell": task_cell(row.entry, task),
                    "trials": [_trial_view(t, offered) for t in row.entry.trials if t.task == task],
                }
                for row in section.rows
            ]
            view["sections"].append({"heading": section.ground.heading, "rows": rows})
            view["legend"] = legend([each for each in sections if task in each.ground.tasks])
    return views


def _trial_view(trial: Trial, offered: dict[str, dict[str, Any] | None]) -> dict[str, Any]:
    best, share = trial.best, trial.best.roofline_share if trial.best else None
    interval = trial.speedup_interval
    return {
        "repeat": trial.repeat + 1,
        "speedup": "-" if best is None or best.speedup is None else ratio(best.speedup),
        "interval": "" if best is None or interval is None else interval_words(*interval),
        "roofline": "-" if share is None else f"{100 * share:.0f} %",
        "attempts": ", ".join(each.verdict.replace("_", " ") for each in trial.attempts) or trial.problem,
        "integrity": trial.integrity.value if trial.has_kernel else "-",
        "remarks": trial.remarks,
        "dollars": f"${trial.dollars:.4f}",
        "seconds": f"{trial.seconds:.0f} s",
        "offer": offered.get(trial.evaluation_id) if best is not None else None,
    }


def _offer(files: Path, trial: Trial, proof: Proof | None) -> dict[str, Any] | None:
    if proof is None:
        return None
    name = re.sub(r"[^a-z0-9]", "", trial.evaluation_id.lower())[:32] or "none"
    (files / f"{name}.kernel.py").write_text(proof.source, encoding="utf-8", newline="")
    if proof.bundle is not None:
        (files / f"{name}.bundle").write_bytes(proof.bundle)
    return {
        "kernel": f"files/{name}.kernel.py",
        "bundle": None if proof.bundle is None else f"files/{name}.bundle",
        "source": highlighted(proof.source),
    }


def _page(file: Path, templates: Environment, template: str, title: str, **values: Any) -> None:
    style = (_HERE / "site.css").read_text()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    text = templates.get_template(template).render(title=title, style=style, style_hash=digest, **values)
    file.write_text(text, encoding="utf-8", newline="")


def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _entry_page(entry: Entry) -> str:
    return f"{_named(entry.id)}.html"


def _task_page(section: Section, task: str) -> str:
    return f"{_named(f'{section.ground.suite}-{task}', section.ground.digest)}.html"


def _named(name: str, *more: str) -> str:
    """A file name that tells people something and can't be anything but a name."""
    told = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60]
    return f"{told}-{hashlib.sha256(chr(0).join((name, *more)).encode()).hexdigest()[:10]}".strip("-")
