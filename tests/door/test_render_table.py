"""Tables: names stay whole at any width, columns go instead, and a pipe gets no blanks at the ends of lines."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from kernelwright.render_lint import LintView
from kernelwright.render_table import print_rows
from kernelwright.verifier.lint import LintReport, Severity
from kernelwright.verifier.lint.report import Finding

NAME = "residual_layernorm_gelu@half"
OP = "aten.cumsum.default"


def console(width: int = 200) -> Console:
    return Console(file=io.StringIO(), width=width, markup=False)


def said(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


@pytest.mark.parametrize("width", [200, 80, 60, 40, 10])
def test_a_narrow_terminal_breaks_no_name(width: int) -> None:
    screen = console(width)
    row = [
        Text(NAME),
        Text("not written"),
        Text("1 wrong, 2 passed"),
        Text(f"The built-in coder can't write {OP} yet."),
    ]
    print_rows(screen, ("task", "result", "verdicts", ""), [row, row], first_to_go=("verdicts", "result"))
    out = said(screen)
    assert out.count(NAME) == 2
    assert OP in out
    assert ("Not shown" in out) == (width <= 60)
    assert ("Not shown, for the terminal is narrow: result, verdicts." in out) == (width <= 40)
    assert not [line for line in out.splitlines() if line != line.rstrip()]


def lint(*reports: LintReport, notes: bool) -> str:
    screen = console()
    with LintView(screen, [report.task for report in reports], jobs=2, notes=notes) as view:
        for position, report in enumerate(reports):
            view.done(position, report)
    view.table(reports, (), left=0)
    return said(screen)


def test_lint_tells_of_notes_and_prints_them_when_asked() -> None:
    noted = LintReport("a", "1", "twin", (Finding("one-shape", Severity.NOTE, "All 3 workloads are alike."),))
    plain = LintReport("b", "2", "twin", ())
    out = lint(noted, plain, notes=False)
    assert "All 3 workloads" not in out
    assert "1 task has notes, which leave a task as it is: --notes prints them." in out
    assert "2 tasks to lint, 2 at once." in out
    assert "left for the other" in out
    out = lint(noted, notes=True)
    assert "one-shape: All 3 workloads are alike." in out
    assert "1 task: 1 clean" in out
    assert "prints them" not in out
