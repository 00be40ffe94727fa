"""What a person sees of `bench lint`: progress, a line for each task, one table at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Self

from rich.console import Console
from rich.status import Status
from rich.text import Text

from kernelwright.bench_tasks.suite import Unreadable
from kernelwright.render_table import print_rows
from kernelwright.verifier.lint import LintReport, Severity
from kernelwright.verifier.lint.table import HEADINGS, summary, table_rows
from kernelwright.words import clock_words, counted, one_line

__all__ = ["LintView"]

_STYLES = {"refused": "bold red", "marked": "yellow", "clean": "green", "note": "dim"}

_FIRST = 3
"""Tasks after which a run without a terminal says how long the others may take."""


class LintView:
    """Progress on a terminal; without one, a line for each task that is done.

    Args:
        names: of the tasks, in their order.
        jobs: tasks at once.
        notes: whether the sentences of notes are shown too.
    """

    def __init__(self, console: Console, names: Sequence[str], *, jobs: int = 1, notes: bool = False) -> None:
        self._console, self._names, self._jobs, self._notes = console, names, jobs, notes
        self._began = time.monotonic()
        self._under_way: dict[int, str] = {}
        self._finished = 0
        self._lock = threading.Lock()
        self._status = Status("", console=console) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        else:
            each = f", {self._jobs} at once" if min(self._jobs, len(self._names)) > 1 else ""
            self._console.print(f"{counted(len(self._names), 'task')} to lint{each}.", style="dim", soft_wrap=True)
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
        if self._status is None and self._finished == min(_FIRST, len(self._names) - 1) and self._names[1:]:
            line.append(f"  about {clock_words(self._left())} left for the others", style="dim")
        self._console.print(line, soft_wrap=True)
        for finding in report.findings:
            if finding.severity is not Severity.NOTE or self._notes:
                said = Text(f"    {finding.rule}: ", style=_STYLES[finding.severity.value])
                said.append(one_line(finding.what), style="default")
                self._console.print(said, soft_wrap=True)
                if finding.severity is not Severity.NOTE:
                    self._console.print(Text(f"    {finding.mend}", style="dim"), soft_wrap=True)

    def table(self, reports: Sequence[LintReport], unreadable: Sequence[Unreadable], *, left: int) -> None:
        """All that is done, at the end.

        Args:
            left: how many tasks are not done.
        """
        lines = [
            [Text(row.task), Text(row.status, style=_STYLES[row.status]), *map(Text, cells)]
            for row in table_rows(reports)
            for cells in [(row.refused, row.marked, row.notes, row.tight, row.loose)]
        ]
        self._console.print()
        print_rows(self._console, HEADINGS, lines, first_to_go=(HEADINGS[6], HEADINGS[5], HEADINGS[4]))
        for missing in unreadable:
            line = f"{missing.name}: can't be read: {missing.why}"
            self._console.print(Text(one_line(line), style="yellow"), soft_wrap=True)
        more = f"; {left} not linted" if left else ""
        self._console.print(f"{summary(reports)}{more}.")
        noted = sum(any(f.severity is Severity.NOTE for f in report.findings) for report in reports)
        if noted and not self._notes:
            about = f"{counted(noted, 'task')} {'has' if noted == 1 else 'have'} notes, which leave a task as it is: --notes prints them."
            self._console.print(about, style="dim", soft_wrap=True)

    def _left(self) -> float:
        """Seconds that the tasks which are not done may take."""
        spent = time.monotonic() - self._began
        return spent / self._finished * (len(self._names) - self._finished)

    def _show(self) -> None:
        if self._status is not None:
            parts = [f"{self._names[p]}: {what}" for p, what in list(self._under_way.items())[:4]]
            self._status.update(Text(f"{self._finished} of {len(self._names)} tasks; {one_line(', '.join(parts))}"))
