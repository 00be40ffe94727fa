"""The task linter: attacks every task with what worthless kernels give, and checks what a task is made of."""

from __future__ import annotations

from kernelwright.verifier.lint.kept import keep_report, kept_report
from kernelwright.verifier.lint.linter import lint_task
from kernelwright.verifier.lint.report import Accepted, Finding, LintReport
from kernelwright.verifier.lint.rules import RULES, Rule, Severity

__all__ = ["RULES", "Accepted", "Finding", "LintReport", "Rule", "Severity", "keep_report", "kept_report", "lint_task"]
