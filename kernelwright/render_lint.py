"""What a person sees of `bench lint`: progress, a line for each task, one table at the end."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Self

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from kernelwright.bench_tasks.suite import Unreadable
from kernelwright.verifier.lint import LintReport, Severity
from kernelwright.verifier.lint.table import HEADINGS, summary, table_rows
from kernelwright.words import one_line

__all__ = ["LintView"]

_STYLES = {"refused": "bold red", "marked": "yellow", "clean": "green", "note": "dim"}


class LintView:
    """Progress on a terminal; without one, a line for each task that is done.

    Args:
        names: of the tasks, in their order.
    """

    def __init__(self, console: Console, names: Sequence[str]) -> None:
        self._console, self._names = console, names
        self._under_way: dict[int, str] = {}
        self._finished = 0
        self._lock = threading.Lock()
        self._status = Status("", console=console) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def step(self, position: int, what: str) -> None:
        """Something else is under way for a task; from any thread."""
        with self._lock:
            self._under_way[position] = what
            self._show()

    def done(self, position: int, report: LintReport) -> None:
        """A task is done."""
        with self._lock:
            self._under_way.pop(position, None)
            self._finished += 1
            self._show()
        line = Text(f"[{self._finished}/{len(self._names)}] ", style="dim")
        line.append(one_line(report.task), style="bold")
        line.append(f"  {report.status}", style=_STYLES[report.status])
        line.append(f"  {report.seconds:.0f} s", style="dim")
        self._console.print(line, soft_wrap=True)
        for finding in report.findings:
            if finding.severity is not Severity.NOTE:
                said = Text(f"    {finding.rule}: ", style=_STYLES[finding.severity.value])
                said.append(one_line(finding.what), style="default")
                self._console.print(said, soft_wrap=True)
                self._console.print(Text(f"    {finding.mend}", style="dim"), soft_wrap=True)

    def table(self, reports: Sequence[LintReport], unreadable: Sequence[Unreadable], *, left: int) -> None:
        """All that is done, at the end.

        Args:
            left: how many tasks are not done.
        """
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in HEADINGS:
            table.add_column(heading, overflow="fold")
        for row in table_rows(reports):
            cells = [row.refused, row.marked, row.notes, row.tight, row.loose]
            table.add_row(
                Text(one_line(row.task)),
                Text(row.status, style=_STYLES[row.status]),
                *(Text(one_line(c)) for c in cells),
            )
        self._console.print()
        self._console.print(table)
        for missing in unreadable:
            line = f"{missing.name}: can't be read: {missing.why}"
            self._console.print(Text(one_line(line), style="yellow"), soft_wrap=True)
        more = f"; {left} not linted" if left else ""
        self._console.print(f"{summary(reports)}{more}.")

    def _show(self) -> None:
        if self._status is not None:
            parts = [f"{self._names[p]}: {what}" for p, what in list(self._under_way.items())[:4]]
            self._status.update(Text(f"{self._finished} of {len(self._names)} tasks; {one_line(', '.join(parts))}"))
