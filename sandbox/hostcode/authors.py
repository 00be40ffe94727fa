"""From lines of a translated text back to the lines of what an author wrote."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kernelwright.sandbox.launch import LaunchReport, LineCounters

__all__ = ["PreludeLines", "at_authors_lines"]


@dataclass(frozen=True)
class PreludeLines:
    """Where a line of a unit's text lies in what its author wrote."""

    parts: tuple[tuple[int, str, tuple[str, ...]], ...]
    """(first line in the text, the part's name, its lines), in order: several strings may make one source."""

    def find(self, line: int) -> tuple[int, str, str]:
        """The author's line number, the part's name (empty if there is but one part) and the line's text."""
        first, name, lines = self.parts[0]
        for part in self.parts:
            if part[0] <= line:
                first, name, lines = part
        own = line - first + 1
        text = lines[own - 1].strip() if 0 < own <= len(lines) else ""
        return own, name if len(self.parts) > 1 else "", text

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` reads it back."""
        return {"parts": [[first, name, list(lines)] for first, name, lines in self.parts]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PreludeLines:
        """Reads what `to_json` wrote."""
        return cls(tuple((int(first), str(name), tuple(map(str, lines))) for first, name, lines in data["parts"]))


def at_authors_lines(report: LaunchReport, lines: PreludeLines) -> LaunchReport:
    """The report with the lines of what the author wrote."""
    violations = []
    for violation in report.violations:
        if violation.line is None:
            violations.append(violation)
            continue
        own, part, text = lines.find(violation.line)
        message = f"{part}: {violation.message}" if part else violation.message
        hint = re.sub(rf"\bline {violation.line}\b", f"line {own}", violation.hint)
        violations.append(replace(violation, line=own, source=text, message=message, hint=hint))
    profiled = sorted((_line_at_authors(line, lines) for line in report.lines), key=lambda line: line.line)
    code = report.code
    if code is not None:
        code = replace(code, parts=tuple((first, name) for first, name, _ in lines.parts))
    return replace(report, violations=tuple(violations), lines=tuple(profiled), code=code)


def _line_at_authors(counted: LineCounters, lines: PreludeLines) -> LineCounters:
    if not counted.line:
        return counted
    own, part, text = lines.find(counted.line)
    callers = tuple(sorted({lines.find(line)[0] for line in counted.called_from}))
    return replace(counted, line=own, text=f"{part}: {text}" if part else text, called_from=callers)
