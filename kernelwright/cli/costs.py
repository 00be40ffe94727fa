"""What language models cost: `costs`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from kernelwright.cli.base import common_flags, console, print_json, start

if TYPE_CHECKING:
    from rich.table import Table

    from kernelwright.db.costs import CostLine, Costs

__all__ = ["costs"]

_LATEST_RUNS = 20
"""Runs that the table of all runs shows; the sums are over all of them."""


@click.command()
@click.argument("run", metavar="[RUN]", required=False)
@common_flags
def costs(run: str | None, as_json: bool, verbose: bool, debug: bool) -> int:
    """Say what calls of language models cost.

    Without RUN, all runs: tokens and dollars by run, by model and by task. With the id of a run, or the beginning of one:
    by model, role and attempt. Dollars are those of the price table on the day of the call; what a server did not report,
    because a call broke off, counts with the most that it can have cost.

    \b
    Examples:
      kernelwright costs
      kernelwright costs softmax-7k3f
    """
    from kernelwright.db.lookup import Kind
    from kernelwright.jobs import open_store

    with open_store(start(verbose=verbose), to_read=True) as store:
        run_id = None if run is None else store.find(run, (Kind.RUN,)).id
        found = store.costs(run_id)
    if as_json:
        print_json(_json(run_id, found))
        return 0
    screen = console(as_json)
    if not found.lines:
        screen.print(
            "No calls of language models yet: the built-in coder makes none."
            if run_id is None
            else f"Run {run_id} made no calls of language models."
        )
        return 0
    if run_id is None:
        runs = _sums(found.lines, lambda line: (line.run_id,))
        screen.print(_table(("run",), runs[:_LATEST_RUNS]))
        if len(runs) > _LATEST_RUNS:
            screen.print(f"... and {len(runs) - _LATEST_RUNS} older runs (--json has them all).", style="dim")
        screen.print(_table(("model",), _sums(found.lines, lambda line: (line.model,))))
        screen.print(_tasks_table(found))
    else:
        screen.print(_table(("model",), _sums(found.lines, lambda line: (line.model,))))
        screen.print(_table(("role",), _sums(found.lines, lambda line: (line.role,))))
        screen.print(_table(("attempt",), _sums(found.lines, lambda line: (line.attempt,))))
    screen.print(_last_line(found), soft_wrap=True)
    return 0


Key = tuple[str | int, ...]


def _sums(lines: Iterable[CostLine], key_of: Callable[[CostLine], Key]) -> list[tuple[Key, CostLine]]:
    """One line for each key, in the order of their first ones."""
    sums: dict[Key, CostLine] = {}
    for line in lines:
        key = key_of(line)
        sums[key] = sums[key] + line if key in sums else line
    return list(sums.items())


def _table(headings: tuple[str, ...], rows: list[tuple[Key, CostLine]]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from kernelwright.agents.models.paid import dollars_text
    from kernelwright.words import one_line

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for heading in ("calls", "input tokens", "cached", "output tokens", "dollars"):
        table.add_column(heading, justify="right")
    for key, line in rows:
        failed = line.calls - line.answered
        figures = (
            f"{line.calls} ({failed} failed)" if failed else str(line.calls),
            f"{line.input_tokens:,}",
            f"{line.cached_tokens:,}",
            f"{line.output_tokens:,}",
            dollars_text(line.dollars),
        )
        table.add_row(*(Text(one_line(str(part))) for part in key), *map(Text, figures))
    return table


def _tasks_table(found: Costs) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from kernelwright.agents.models.paid import dollars_text
    from kernelwright.words import one_line

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("task", overflow="fold")
    table.add_column("solved")
    table.add_column("dollars", justify="right")
    for task in found.tasks:
        table.add_row(Text(one_line(task.name)), "yes" if task.solved else "not yet", Text(dollars_text(task.dollars)))
    return table


def _last_line(found: Costs) -> str:
    from kernelwright.agents.models.paid import dollars_text

    line = f"Together {dollars_text(found.dollars)}"
    estimated = sum((one.estimated_dollars for one in found.lines), start=found.dollars * 0)
    if estimated:
        line += f", of that {dollars_text(estimated)} an upper estimate (calls that broke off)"
    each = found.dollars_per_solved_task
    return line + (f"; {dollars_text(each)} a solved task." if each is not None else "; no task is solved yet.")


def _json(run_id: str | None, found: Costs) -> dict[str, Any]:
    """Dollars are decimal numbers as text: exact, as in the store."""
    views: dict[str, Callable[[CostLine], Key]] = {
        "runs": lambda line: (line.run_id,),
        "models": lambda line: (line.model,),
        "roles": lambda line: (line.role,),
        "attempts": lambda line: (line.run_id, line.attempt),
    }
    names = {"runs": ("run_id",), "models": ("model",), "roles": ("role",), "attempts": ("run_id", "attempt")}
    each = found.dollars_per_solved_task
    return {
        "run_id": run_id,
        "dollars": f"{found.dollars:f}",
        "dollars_per_solved_task": None if each is None else f"{each:f}",
        "tasks": [
            {"id": task.task_id, "name": task.name, "dollars": f"{task.dollars:f}", "solved": task.solved}
            for task in found.tasks
        ],
        **{
            view: [
                dict(zip(names[view], key, strict=True)) | _figures(line) for key, line in _sums(found.lines, key_of)
            ]
            for view, key_of in views.items()
        },
    }


def _figures(line: CostLine) -> dict[str, Any]:
    return {
        "calls": line.calls,
        "answered": line.answered,
        "input_tokens": line.input_tokens,
        "cached_tokens": line.cached_tokens,
        "output_tokens": line.output_tokens,
        "dollars": f"{line.dollars:f}",
        "estimated_dollars": f"{line.estimated_dollars:f}",
    }
