"""`kernelwright bench`: suites of tasks. This file has the group and `list`; each other command has a file of its own."""

from __future__ import annotations

import click

from kernelwright.cli.base import common_flags, console, print_json, start

__all__ = ["bench"]


@click.group(name="bench", context_settings={"help_option_names": ["-h", "--help"]})
def bench() -> None:
    """Suites of tasks: ours, and those of other systems."""


@bench.command("list")
@click.argument("suite", required=False)
@common_flags
def list_suites(suite: str | None, as_json: bool, verbose: bool, debug: bool) -> int:
    """List the suites, or the tasks of SUITE: core, fusion, models, frontier, an imported one, or a path."""
    from rich.markup import escape
    from rich.table import Table

    from kernelwright.bench_tasks.collections import find_suite, suite_names
    from kernelwright.bench_tasks.imported import read_import
    from kernelwright.bench_tasks.own import OWN
    from kernelwright.errors import ConfigError

    imported = start(verbose=verbose).data / "suites"
    screen = console(as_json)
    table = Table(box=None, pad_edge=False, header_style="bold")
    if suite is None:
        keys = ("name", "title", "format", "path", "digest")
        lines: list[dict[str, object]] = []
        for name in suite_names(imported):
            if name in OWN:
                each = find_suite(name)
                lines.append({key: getattr(each, key) for key in keys} | {"tasks": len(each.tasks)})
                continue
            try:  # what was kept of it: its files are read when it is used
                kept = read_import(imported, name)
            except ConfigError as error:
                lines.append({"name": name, "title": str(error.message), "format": "", "tasks": 0, "problem": True})
                continue
            loaded = sum(not task.why for task in kept.tasks.values())
            lines.append({key: getattr(kept, key) for key in keys} | {"tasks": loaded})
        for heading in ("suite", "tasks", "format", ""):
            table.add_column(heading, overflow="fold")
        for line in lines:
            table.add_row(*(escape(str(line[key])) for key in ("name", "tasks", "format", "title")))
        screen.print(table)
        if as_json:
            print_json({"suites": lines})
        return 0
    chosen = find_suite(suite, imported)
    for heading in ("task", "level" if any(t.level for t in chosen.tasks) else "family", ""):
        table.add_column(heading, overflow="fold")
    for task in chosen.tasks:
        table.add_row(escape(task.name), escape(task.level or task.family), escape(task.title))
    screen.print(table)
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
                        "twin": dict(t.twin),
                        "full_only": t.full_only,
                    }
                    for t in chosen.tasks
                ],
                "unreadable": [
                    {"name": u.name, "path": u.path, "why": u.why, "mend": u.mend} for u in chosen.unreadable
                ],
            }
        )
    return 0
