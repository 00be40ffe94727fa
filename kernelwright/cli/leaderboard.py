"""Who solved what, and how fast: `leaderboard`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kernelwright.cli.base import common_flags, console, print_json, start
from kernelwright.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection

    from rich.table import Table

    from kernelwright.bench_tasks.scoring.board import Section
    from kernelwright.config import Settings
    from kernelwright.db.store import Store

__all__ = ["leaderboard"]

_FIRST_TO_GO = ("roofline", "pass@1", "per solved", "fast_1", "median", "integrity")
"""Columns that a narrow terminal does without, in this order."""
_AUTHOR = 16  # characters
_SEED = 0
"""Of the intervals' draws: the same store gives the same leaderboard."""


@click.command()
@click.argument("suite", required=False)
@click.option("--gpu", metavar="NAME", help="Only times for or on this GPU.")
@click.option("--kind", type=click.Choice(["measured", "modelled"]), help="Only times of this kind.")
@click.option("--scale", type=click.Choice(["full", "twin"]), help="Only full sizes, or only the scaled-down twins.")
@click.option("--author", metavar="NAME", help="Only authors with this in their name.")
@click.option("--p", type=float, default=1.0, show_default=True, help="Show fast_p at this speed-up besides fast_1.")
@click.option("--tasks", is_flag=True, help="Show every task: what each entry made of it.")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), metavar="FILE", help="Write a line for each entry.")
@click.option("--markdown", "markdown_file", type=click.Path(path_type=Path), metavar="FILE", help="Write the tables.")
@click.option(
    "--html",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write a site that opens from a disk: every entry, every task, kernels and evidence.",
)
@common_flags
def leaderboard(
    suite: str | None,
    gpu: str | None,
    kind: str | None,
    scale: str | None,
    author: str | None,
    p: float,
    tasks: bool,
    csv_file: Path | None,
    markdown_file: Path | None,
    folder: Path | None,
    as_json: bool,
    verbose: bool,
    debug: bool,
) -> int:
    """Compare everything that was run on SUITE (without one: on all suites), by us and by those who sent it in.

    Every figure is over all tasks of an entry: an unsolved one counts as not fast and 1x. Measured and modelled times, full sizes
    and twins, different GPUs and different versions of a suite each have a table of their own. docs/metrics.md says how each
    figure is made, docs/leaderboard.md how to send an entry in.

    \b
    Examples:
      kernelwright leaderboard core
      kernelwright leaderboard --kind measured --gpu H200 --p 1.5
      kernelwright leaderboard core --html site
    """
    from kernelwright.bench_tasks.collections import suite_names
    from kernelwright.bench_tasks.scoring.board import sections
    from kernelwright.bench_tasks.suite import Scale
    from kernelwright.jobs import open_store
    from kernelwright.leaderboard.collect import Choice, entries, why_none
    from kernelwright.verifier.model.gpus import find_gpu

    if not 0.0 <= p < 1e6:
        raise ConfigError(f"--p is {p:g}, and a speed-up lies between 0 and a million.", mend="Give 1.5 for instance.")
    settings = start(verbose=verbose)
    choice = Choice(suite, gpu and find_gpu(gpu).name, kind, Scale(scale) if scale else None, author)
    if folder is not None:
        from kernelwright.web.site.build import check_folder

        check_folder(folder)
    with open_store(settings, to_read=True) as store:
        chosen = entries(store, choice)
        nothing = "" if chosen else why_none(entries(store), choice, suite_names(settings.data / "suites"))
        found = sections(chosen, p=p, seed=_SEED)
        written = _files(found, csv_file, markdown_file, tasks=tasks)
        if folder is not None:
            written["html"] = str(_site(folder, found, store, settings))
    if as_json:
        print_json(
            {"sections": [_json(section, tasks=tasks) for section in found], "written": written, "message": nothing}
        )
        return 0
    if nothing:
        console(False).print(nothing, markup=False, soft_wrap=True)
    else:
        _show(found, tasks=tasks)
    for path in written.values():
        console(False).print(f"Written: {path}", markup=False, soft_wrap=True)
    return 0


def _files(
    found: tuple[Section, ...], csv_file: Path | None, markdown_file: Path | None, *, tasks: bool
) -> dict[str, str]:
    from kernelwright.export import write_file
    from kernelwright.leaderboard.tables import csv_text, markdown_text

    written = {}
    if csv_file is not None:
        write_file(csv_file, csv_text(found))
        written["csv"] = str(csv_file)
    if markdown_file is not None:
        write_file(markdown_file, markdown_text(found, tasks=tasks))
        written["markdown"] = str(markdown_file)
    return written


def _site(folder: Path, found: tuple[Section, ...], store: Store, settings: Settings) -> Path:
    from kernelwright.bench_tasks.scoring.results import Trial
    from kernelwright.errors import BundleError, NotFoundError
    from kernelwright.leaderboard.entry_file import evidence
    from kernelwright.web.site.build import Proof, write_site

    def proof(trial: Trial) -> Proof | None:
        kernel = store.kernel(store.evaluation(trial.evaluation_id).kernel_id)
        try:
            return Proof(kernel.source, evidence(store, settings, trial.evaluation_id))
        except (BundleError, NotFoundError):  # too large, or of a GPU that is not in the table any more
            return Proof(kernel.source, None)

    return write_site(folder, found, proof)


def _json(section: Section, *, tasks: bool) -> dict[str, object]:
    from kernelwright.bench_tasks.scoring.entry_json import entry_to_json

    view = section.to_json()
    if tasks:
        for row, shown in zip(section.rows, view["rows"], strict=True):
            shown["trials"] = entry_to_json(row.entry)["trials"]
    return view


def _show(found: tuple[Section, ...], *, tasks: bool) -> None:
    from kernelwright.leaderboard.cells import legend
    from kernelwright.render_table import print_table
    from kernelwright.words import one_line

    screen = console(False)
    for section in found:
        screen.print()
        screen.print(one_line(section.ground.heading), style="bold", markup=False, soft_wrap=True)
        left_out = _left_out(section, screen.width)
        print_table(screen, _table(section, left_out))
        if left_out:
            screen.print(f"Not shown, for the terminal is narrow: {', '.join(left_out)}.", style="dim")
        if tasks:
            print_table(screen, _task_table(section))
    screen.print()
    screen.print(legend(found), style="dim")


def _table(section: Section, left_out: Collection[str]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from kernelwright.leaderboard.cells import cells

    shown = [{name: each for name, each in cells(row).items() if name not in left_out} for row in section.rows]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for name in shown[0]:
        if name != "evidence":  # which stands below the author: it is long
            table.add_column(
                "#" if name == "rank" else name,
                overflow="fold",
                no_wrap=name != "author",
                min_width=_AUTHOR if name == "author" else None,
            )
    for row in shown:
        evidence = row.pop("evidence")
        row["author"] = (row["author"][0], "\n".join((row["author"][1], *evidence)))
        table.add_row(*(Text.assemble(a, "\n", (b, "dim")) if b else Text(a) for a, b in row.values()))
    return table


def _left_out(section: Section, width: int) -> list[str]:
    """The headings for which a terminal of this width has no room. Coverage and the headline always have."""
    from kernelwright.leaderboard.cells import cells

    rows = [cells(row) for row in section.rows]
    needed = {name: max(len(name), *(len(part) for row in rows for part in row[name])) for name in rows[0]}
    needed |= {"rank": 2, "author": _AUTHOR, "evidence": -1}
    gone: list[str] = []
    while sum(needed.values()) + len(needed) > width and len(gone) < len(_FIRST_TO_GO):
        gone.append(_FIRST_TO_GO[len(gone)])
        del needed[gone[-1]]
    return [name for name in rows[0] if name in gone]


def _task_table(section: Section) -> Table:
    from rich.table import Table
    from rich.text import Text

    from kernelwright.leaderboard.cells import author, task_cell
    from kernelwright.words import one_line

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column(
        "task", no_wrap=True, overflow="ignore", min_width=max(len(one_line(t, 60)) for t in section.ground.tasks)
    )
    for row in section.rows:
        table.add_column(Text(f"{row.rank}. {author(row.entry)}"), overflow="fold")
    for task in section.ground.tasks:
        pairs = (task_cell(row.entry, task) for row in section.rows)
        table.add_row(
            Text(one_line(task, 60)), *(Text.assemble(a, (f" {b}", "dim")) if b else Text(a) for a, b in pairs)
        )
    return table
