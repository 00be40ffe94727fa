"""`kernelwright bench`: suites of tasks. This file has the group and `list`; each other command has a file of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kernelwright.cli.base import common_flags, console, print_json, start

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernelwright.bench_tasks.suite import SuiteTask

__all__ = ["bench"]

_WIDE = 100
"""Columns that a list of tasks needs for dtype and twin beside the titles."""


@click.group(name="bench", context_settings={"help_option_names": ["-h", "--help"]})
def bench() -> None:
    """Suites of tasks: ours, and those of other systems."""


@bench.command("list")
@click.argument("suite", required=False)
@click.option(
    "--only", multiple=True, metavar="GLOB", help="Only tasks whose name is like this; several times for more."
)
@click.option("--no-variants", is_flag=True, help="Leave out variants: tasks called NAME@VARIANT.")
@common_flags
def list_suites(
    suite: str | None, only: tuple[str, ...], no_variants: bool, as_json: bool, verbose: bool, debug: bool
) -> int:
    """List the suites, or the tasks of SUITE: core, fusion, models, frontier, an imported one, or a path."""
    from rich.markup import escape
    from rich.table import Table

    from kernelwright.bench.plan import selected
    from kernelwright.bench_tasks.collections import find_suite, suite_names
    from kernelwright.bench_tasks.imported import read_import
    from kernelwright.bench_tasks.own import OWN
    from kernelwright.errors import ConfigError, MisuseError
    from kernelwright.words import counted

    if suite is None and (only or no_variants):
        raise MisuseError("--only and --no-variants are about the tasks of a suite.", mend="Name the suite.")
    imported = start(verbose=verbose).data / "suites"
    screen = console(as_json)
    table = Table(box=None, pad_edge=False, header_style="bold")
    if suite is None:
        keys = ("name", "title", "format", "path", "digest")
        lines: list[dict[str, object]] = []
        for name in suite_names(imported):
            if name in OWN:
                each = find_suite(name)
                lines.append({key: getattr(each, key) for key in keys} | _counts(task.name for task in each.tasks))
                continue
            try:  # what was kept of it: its files are read when it is used
                kept = read_import(imported, name)
            except ConfigError as error:
                lines.append({"name": name, "title": str(error.message), "format": "", "tasks": 0, "problem": True})
                continue
            counts = _counts(name for name, task in kept.tasks.items() if not task.why)
            lines.append({key: getattr(kept, key) for key in keys} | counts)
        for heading in ("suite", "tasks", "with variants", "format", ""):
            table.add_column(
                heading, overflow="fold", justify="right" if heading in {"tasks", "with variants"} else "left"
            )
        for line in lines:
            columns = ("name", "without_variants", "tasks", "format", "title")
            table.add_row(*(escape(str(line.get(key, 0))) for key in columns))
        screen.print(table)
        if as_json:
            print_json({"suites": lines})
        return 0
    chosen = find_suite(suite, imported)
    tasks = selected(chosen, only, variants=not no_variants) if only or no_variants else chosen.tasks
    wide = screen.width >= _WIDE
    grouping = "level" if any(t.level for t in chosen.tasks) else "family"
    for heading in ("task", grouping, *(["dtype", "twin"] if wide else []), ""):
        table.add_column(heading, overflow="fold", no_wrap=heading == "task")
    for task in tasks:
        about = [_dtype(task), "yes" if task.twin else "no"] if wide else []
        table.add_row(*map(escape, (task.name, task.level or task.family, *about, task.title)))
    screen.print(table)
    variants = sum("@" in task.name for task in tasks)
    total = f"{counted(len(tasks), 'task')}: {len(tasks) - variants} and {counted(variants, 'variant')}"
    left = len(chosen.tasks) - len(tasks)
    screen.print(total + (f" ({left} left out)" if left else ""), style="dim")
    for missing in chosen.unreadable:
        screen.print(f"{missing.name}: {missing.why}", style="yellow", markup=False, soft_wrap=True)
    if as_json:
        print_json(
            {
                "name": chosen.name,
                "digest": chosen.digest,
                "tasks": [
                    {
                        "name": t.name,
                        "id": t.task.id,
                        "family": t.family,
                        "level": t.level,
                        "title": t.title,
                        "dtype": _dtype(t),
                        "twin": dict(t.twin),
                        "full_only": t.full_only,
                    }
                    for t in tasks
                ],
                "unreadable": [
                    {"name": u.name, "path": u.path, "why": u.why, "mend": u.mend} for u in chosen.unreadable
                ],
            }
        )
    return 0


def _counts(names: Iterable[str]) -> dict[str, object]:
    every = list(names)
    return {"tasks": len(every), "without_variants": sum("@" not in name for name in every)}


def _dtype(task: SuiteTask) -> str:
    """What the file's `DTYPE` says; empty where it has none: without running it nobody knows."""
    from kernelwright.bench_tasks.constants import constants_of

    said = constants_of(task.task.source).get("DTYPE")
    return said if isinstance(said, str) and said.isidentifier() else ""
