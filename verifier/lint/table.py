"""The reports of many tasks as one table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from kernelwright.verifier.lint.report import LintReport
from kernelwright.verifier.lint.rules import LOOSE, TIGHT, Severity
from kernelwright.verifier.lint.verdicts import fixed_tolerance
from kernelwright.verifier.wording import counted

__all__ = ["TableRow", "markdown_table", "summary", "table_rows"]


@dataclass(frozen=True)
class TableRow:
    """One task: what is in its columns."""

    task: str
    status: str
    refused: str
    marked: str
    notes: str
    tight: str
    """What torch.allclose at 1e-4 accepts on the task's own inputs."""
    loose: str
    """At 1e-2."""


HEADINGS = ("task", "status", "refused for", "marked for", "notes", f"allclose {TIGHT:g}", f"allclose {LOOSE:g}")


def table_rows(reports: Sequence[LintReport]) -> list[TableRow]:
    """A row for each report."""

    def rules(report: LintReport, severity: Severity) -> str:
        left_out = ("fixed-tolerance",)  # it has columns of its own
        each = [f.rule for f in report.findings if f.severity is severity and f.rule not in left_out]
        return ", ".join(dict.fromkeys(each))

    def fixed(report: LintReport, tolerance: float) -> str:
        names = fixed_tolerance(report.accepted, report.results, tolerance)
        return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")

    return [
        TableRow(
            task=report.task,
            status=report.status,
            refused=rules(report, Severity.REFUSED),
            marked=rules(report, Severity.MARKED),
            notes=rules(report, Severity.NOTE),
            tight=fixed(report, TIGHT),
            loose=fixed(report, LOOSE),
        )
        for report in reports
    ]


def summary(reports: Sequence[LintReport]) -> str:
    """In one line: how many are clean, marked and refused."""
    counts = Counter(report.status for report in reports)
    return f"{counted(len(reports), 'task')}: {counts['clean']} clean, {counts['marked']} marked, {counts['refused']} refused"


def markdown_table(reports: Sequence[LintReport], *, title: str, command: str) -> str:
    """The table, and under it what each refused or marked task is refused or marked for.

    Args:
        title: of the page.
        command: what makes it again.
    """
    rows = table_rows(reports)
    scales = " and ".join(dict.fromkeys(report.scale for report in reports)) or "no"
    fixed = [
        f"{sum(bool(getattr(row, name)) for row in rows)} at {tolerance:g}"
        for name, tolerance in (("tight", TIGHT), ("loose", LOOSE))
    ]
    lines = [
        f"# {title}",
        "",
        f"{summary(reports)}. Of {' and '.join(fixed)} torch.allclose accepts something worthless, or something that leaves out an input, a",
        "weight or an axis.",
        "",
        f"`{command}` makes this page; tasks ran at {scales} sizes, and launches were looked at at full size. The last two columns say which attacks",
        "torch.allclose accepts at that absolute and relative tolerance, on the task's own inputs and initial weights. What the rules are:",
        "`docs/task-lint.md` of Kernelwright.",
        "",
        "| " + " | ".join(HEADINGS) + " |",
        "|" + "---|" * len(HEADINGS),
    ]
    for row in rows:
        cells = (row.task, row.status, row.refused, row.marked, row.notes, row.tight, row.loose)
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    lines += ["", "| task | finding |", "|---|---|"]
    for report in reports:
        for finding in report.findings:
            if finding.severity is not Severity.NOTE:
                lines.append(f"| {_cell(report.task)} | {finding.severity}, {finding.rule}: {_cell(finding.what)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
