"""The command `archive`: what the strategy evolve breeds from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kernelwright.cli.base import common_flags, console, print_json, start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from kernelwright.db.archive_view import ArchiveView, EliteView

__all__ = ["archive"]


@click.command()
@click.argument("identifier", metavar="[ID]", required=False)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many, the newest first.")
@click.option("--check", is_flag=True, help="Count islands and cells anew from all attempts, and say what differs.")
@common_flags
def archive(
    identifier: str | None, limit: int, check: bool, as_json: bool, verbose: bool, debug: bool
) -> int:  # fmt: skip
    """Show the archives that the strategy evolve draws from.

    ID is a run's or a task's, or its first characters; without it all archives are listed. Of each island there are the cells
    that have a kernel: its time, what it uses of the GPU, and how often it was a parent.

    \b
    Examples:
      kernelwright archive
      kernelwright archive softmax-7k3f
      kernelwright archive 9f3ac1d2 --check --json
    """
    from kernelwright.db.lookup import Kind
    from kernelwright.jobs import open_store

    with open_store(start(verbose=verbose), to_read=True) as store:
        place: dict[str, str] = {}
        if identifier is not None:
            found = store.find(identifier, (Kind.RUN, Kind.TASK))
            place = {"run_id" if found.kind is Kind.RUN else "task_id": found.id}
        archives = store.archives(limit, **place)
        problems = {each.id: store.archive_problems(each.id) for each in archives} if check else {}
    if as_json:
        print_json({"archives": [_json(each, problems.get(each.id)) for each in archives]})
    else:
        screen = console(as_json)
        if not archives:
            words = "No archive yet." if identifier is None else f"{' '.join(place.values())} has no archive."
            screen.print(f"{words} Start one: kernelwright optimize FILE --strategy evolve", soft_wrap=True)
        for each in archives:
            _show(each, screen, problems.get(each.id), whole=identifier is not None)
    return 1 if any(problems.values()) else 0


def _show(archive: ArchiveView, screen: Console, problems: list[str] | None, *, whole: bool) -> None:
    from rich.text import Text

    from kernelwright.words import counted, duration, one_line

    kind = archive.timing_kind.value
    head = f"Archive {archive.name} of {archive.task_name} ({archive.task_id}), {archive.gpu}, {kind} times"
    screen.print(Text(one_line(head), style="bold"))
    entries, passed = sum(i.entries for i in archive.islands), sum(i.passed for i in archive.islands)
    words = f"{counted(entries, 'attempt')}, {counted(passed, 'different kernel')} that passed, {counted(len(archive.elites), 'cell')}"
    if archive.baseline_seconds is not None:
        words += f", eager {duration(archive.baseline_seconds)}"
    screen.print(Text(f"  {words}", style="dim"))
    for island in archive.islands if whole else ():
        best = "none passed" if island.best_seconds is None else f"best {duration(island.best_seconds)}"
        anew = f", begun anew {counted(island.restarts, 'time')}" if island.restarts else ""
        text = f"  island {island.island}: {counted(island.entries, 'attempt')}, {best}, {island.since_gain} since it gained{anew}"
        screen.print(Text(text))
    if whole and archive.elites:
        screen.print(_table(archive.elites, screen.width))
    for problem in problems or ():
        screen.print(Text(f"  {problem}", style="red"))
    if problems == []:
        screen.print(Text("  checked: islands and cells are what the attempts say"))


def _table(elites: Sequence[EliteView], width: int) -> Table:
    """One row a cell; columns are left out from the right where there is no room."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from kernelwright.render import columns_that_fit
    from kernelwright.words import duration, one_line, ratio

    headings = (
        "island", "kernel", "time", "vs eager", "children", "regs", "shared", "occup.", "DRAM", "attempt", "by", "techniques",
    )  # fmt: skip
    rows = []
    for elite in elites:
        f = elite.features
        uses = ("-", "-", "-", "-") if f is None else (
            str(f.registers), f"{f.shared_bytes} B", f"{100 * f.occupancy:.0f} %", f"{100 * f.dram_share:.0f} %",
        )  # fmt: skip
        by = one_line(" ".join(filter(None, (elite.operator, elite.author))), 30) or "-"
        techniques = "-" if f is None else ", ".join(tag.replace("_", " ") for tag in f.tags) or "-"
        rows.append(
            (
                str(elite.island),
                elite.kernel_id,
                duration(elite.seconds),
                ratio(elite.speedup),
                str(elite.offspring),
                *uses,
                f"{elite.run_id}:{elite.number}",
                by,
                techniques,
            )
        )
    widths = [max(len(heading), *(len(row[i]) for row in rows)) for i, heading in enumerate(headings)]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    shown = max(3, columns_that_fit(widths, width))
    for i, heading in enumerate(headings[:shown]):
        table.add_column(heading, justify="right" if i in {0, 2, 3, 4, 5, 6, 7, 8} else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row[:shown]))
    return table


def _json(archive: ArchiveView, problems: list[str] | None) -> dict[str, Any]:
    from dataclasses import asdict

    view = asdict(archive)
    checked = {} if problems is None else {"problems": problems}
    return {**view, "timing_kind": archive.timing_kind.value, "created": archive.created.isoformat(), **checked}
