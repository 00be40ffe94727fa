"""Collects findings, each once and with its place in the module."""

from __future__ import annotations

import ast

from kernelwright.verifier.static.findings import Finding, Severity
from kernelwright.verifier.static.rules import RULES
from kernelwright.verifier.static.texts import Lines

__all__ = ["Findings"]

_MOST_OF_A_RULE = 40  # a reader needs no more, and a hostile module could make a million
_ORDER = {severity: position for position, severity in enumerate(Severity)}


class Findings:
    """The findings about one module, as they come."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._found: dict[tuple[str, int | None, str], Finding] = {}
        self._number: dict[str, int] = {}

    def add(self, rule: str, reason: str, at: ast.AST | int | None = None) -> None:
        """Adds one, unless the same was said of the same line; `at` is a node or a character of the module."""
        line, column = self._place(at)
        key = (rule, line, reason)
        if key in self._found or self._number.get(rule, 0) >= _MOST_OF_A_RULE:
            return
        self._number[rule] = self._number.get(rule, 0) + 1
        known = RULES[rule]
        self._found[key] = Finding(rule, known.severity, reason, known.mend, line, column, known.verdict)

    def has(self, rule: str) -> bool:
        """Whether anything was said under this rule."""
        return rule in self._number

    def in_order(self) -> tuple[Finding, ...]:
        """Those that reject first, in the order of the rules; then warnings and notes, each by line."""
        rules = {rule: position for position, rule in enumerate(RULES)}

        def place(finding: Finding) -> tuple[int, int, int, int]:
            rejects = finding.severity is Severity.REJECT
            return (
                _ORDER[finding.severity], rules[finding.rule] if rejects else 0, finding.line or 0, finding.column or 0,
            )  # fmt: skip

        return tuple(sorted(self._found.values(), key=place))

    def _place(self, at: ast.AST | int | None) -> tuple[int | None, int | None]:
        if isinstance(at, int):
            return self._lines.position(at)
        if at is None or not hasattr(at, "lineno"):
            return None, None
        return self._lines.position(self._lines.index(at.lineno, getattr(at, "col_offset", 0)))
