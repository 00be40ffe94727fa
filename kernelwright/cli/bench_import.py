"""`kernelwright bench import`: a collection of another system becomes a suite with a name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kernelwright.cli.base import common_flags, console, print_json, start
from kernelwright.cli.bench import bench

if TYPE_CHECKING:
    from rich.console import Console

    from kernelwright.importing import ImportReport

__all__ = ["import_suite"]

_SHOWN = 40  # tasks of one kind that are listed; --json has them all


@bench.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="What the suite is called from now on (default: as its folder or file).")
@click.option(
    "--no-probe",
    is_flag=True,
    help="Only read the files: nothing is run, and no twins for the emulator are looked for.",
)
@click.option(
    "--jobs", type=click.IntRange(1, 64), help="Processes that probe at once (default: one for each core, at most 8)."
)
@click.option(
    "--isolation",
    type=click.Choice(["auto", "bubblewrap", "docker", "process"]),
    help="How the process that opens a task is fenced in (default: auto, bubblewrap or docker).",
)
@common_flags
def import_suite(
    path: Path,
    name: str | None,
    no_probe: bool,
    jobs: int | None,
    isolation: str | None,
    as_json: bool,
    verbose: bool,
    debug: bool,
) -> int:
    """Make a suite of a collection of another system.

    PATH is a folder of KernelBench, robust-kbench, FlashInfer-Bench or GPU MODE, or one task of theirs; the format is found
    by looking. Every task is read, and opened in a fenced process without memory for its tensors, to find its shapes and
    smaller sizes at which the emulator can judge it (docs/collections.md). What can't be loaded is listed with the reason.

    The files stay where they are; a task that changes later is told. An import that was interrupted goes on where it stopped.

    \b
    Examples:
      kernelwright bench import KernelBench/KernelBench
      kernelwright bench import robust-kbench/tasks --name robust --jobs 4
      kernelwright bench import my_tasks --json | jq '.tasks[] | select(.status != "loaded")'
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from kernelwright.importing import import_collection

    settings = start(verbose=verbose, isolation=isolation)
    screen = console(as_json)
    columns = (
        TextColumn("probing"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        line = bar.add_task("", total=None)

        def progress(done: int, total: int, last: str) -> None:
            bar.update(line, completed=done, total=total, description=last[:60])

        report = import_collection(
            path, settings, name=name, probe=not no_probe, jobs=jobs or min(8, os.cpu_count() or 1), progress=progress
        )
    _show(report, screen)
    if as_json:
        print_json(_json(report))
    return 0 if any(probe is None or probe.status.value != "not loaded" for probe in report.probes) else 1


def _show(report: ImportReport, screen: Console) -> None:
    from rich.table import Table

    from kernelwright.bench_tasks.files import natural_key, shown
    from kernelwright.sandbox.probe import ProbeStatus

    suite = report.suite
    table = Table(box=None, pad_edge=False, header_style="bold")
    counts = report.counts()
    kinds = [kind for kind in (*(s.value for s in ProbeStatus), "not probed") if any(c[kind] for c in counts.values())]
    for heading in ("level" if any(counts) else "", "tasks", *kinds):
        table.add_column(heading, justify="left" if heading in {"level", ""} else "right")
    rows = sorted(counts.items(), key=lambda item: natural_key(item[0]))
    if len(rows) > 1:
        rows.append(("all", sum(counts.values(), next(iter(counts.values())).__class__())))
    for level, count in rows:
        table.add_row(level, str(count.total()), *(str(count[kind]) for kind in kinds))
    screen.print(f"{shown(suite.title)}: format {suite.format}", markup=False, soft_wrap=True)
    screen.print(table)
    told = [(u.name, u.why, u.mend) for u in suite.unreadable]
    pairs = [(task, probe) for task, probe in zip(suite.tasks, report.probes, strict=True) if probe is not None]
    told += [(t.name, p.why, p.mend) for t, p in pairs if p.status is ProbeStatus.NOT_LOADED]
    _list(screen, "Not loaded", told)
    _list(screen, "No twin", [(t.name, p.why, "") for t, p in pairs if p.status is ProbeStatus.NO_TWIN])
    screen.print(
        f"Registered as {suite.name}. Next: kernelwright bench list {suite.name}",
        style="dim",
        markup=False,
        soft_wrap=True,
    )


def _list(screen: Console, heading: str, lines: list[tuple[str, str, str]]) -> None:
    """What is alike is said once, with its tasks behind it."""
    from kernelwright.bench_tasks.files import shown

    if not lines:
        return
    screen.print(f"{heading}:", style="bold")
    grouped: dict[tuple[str, str], list[str]] = {}
    for name, why, mend in lines:
        grouped.setdefault((why, mend), []).append(name)
    for number, ((why, mend), names) in enumerate(grouped.items()):
        if number == _SHOWN:
            screen.print(f"  and {len(grouped) - _SHOWN} more: --json lists all")
            break
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        screen.print(
            f"  {', '.join(names[:_SHOWN])}{more}: {shown(why)} {shown(mend)}".rstrip(), markup=False, soft_wrap=True
        )


def _json(report: ImportReport) -> dict[str, object]:
    suite = report.suite
    tasks: list[dict[str, object]] = []
    for task, probe in zip(suite.tasks, report.probes, strict=True):
        about = {"status": "not probed"} if probe is None else probe.to_json()
        tasks.append({"name": task.name, "id": task.task.id, "level": task.level, "path": task.task.path, **about})
    unreadable = [
        {"name": u.name, "path": u.path, "level": u.level, "why": u.why, "mend": u.mend} for u in suite.unreadable
    ]
    return {
        "name": suite.name, "path": suite.path, "format": suite.format, "registered": str(report.kept),
        "levels": [{"level": level, **count} for level, count in report.counts().items()],
        "tasks": tasks, "unreadable": unreadable,
    }  # fmt: skip
