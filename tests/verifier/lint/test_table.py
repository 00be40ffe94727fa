"""The table has a row for each task and what torch.allclose accepts in columns of its own."""

from __future__ import annotations

from kernelwright.verifier.lint import Accepted, Finding, LintReport, Severity
from kernelwright.verifier.lint.table import markdown_table, summary, table_rows

FINDINGS = (
    Finding("an-input", Severity.MARKED, "A kernel that gives input 0 | passes."),
    Finding("one-shape", Severity.NOTE, "All alike."),
    Finding("fixed-tolerance", Severity.NOTE, "It accepts something."),
)
ACCEPTED = (
    Accepted("an-input", "", "input 0", "the output", False, True, True, True),
    Accepted("ignores-weight", "weight w", "zeros", "", False, False, False, True),
)
REPORTS = (
    LintReport("relu", "1", "twin", FINDINGS, ACCEPTED, ("the output",)),
    LintReport("exp", "2", "twin", ()),
    LintReport("zero", "3", "twin", (Finding("zeros", Severity.REFUSED, "Zeros pass."),)),
)


def test_rows() -> None:
    relu, exp, zero = table_rows(REPORTS)
    assert (relu.status, relu.refused, relu.marked, relu.notes) == ("marked", "", "an-input", "one-shape")
    assert (relu.tight, relu.loose) == ("an-input", "an-input, weight w")
    assert (exp.status, exp.loose) == ("clean", "")
    assert (zero.status, zero.refused) == ("refused", "zeros")
    assert summary(REPORTS) == "3 tasks: 1 clean, 1 marked, 1 refused"


def test_markdown_is_a_table_with_its_command() -> None:
    text = markdown_table(REPORTS, title="Task lint: mine", command="kernelwright bench lint mine")
    assert "`kernelwright bench lint mine` makes this page" in text
    assert "| relu | marked |  | an-input | one-shape | an-input | an-input, weight w |" in text
    assert "| relu | marked, an-input: A kernel that gives input 0 \\| passes. |" in text
    assert text.startswith("# Task lint: mine\n")
    assert "Of 1 at 0.0001 and 1 at 0.01 torch.allclose accepts" in text
    assert "one-shape:" not in text
