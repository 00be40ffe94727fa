"""Finding and StaticReport: what static analysis says of a kernel's module, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kernelwright.verifier.evaluation import Verdict

__all__ = ["Finding", "Severity", "StaticReport"]


class Severity(StrEnum):
    """What a finding leads to."""

    REJECT = "reject"
    """No honest kernel does it: the kernel is not run."""
    WARN = "warn"
    """Honest code may do it: the stages that run the kernel decide."""
    NOTE = "note"
    """Worth knowing, or something that could not be analysed."""


@dataclass(frozen=True)
class Finding:
    """One rule met at one place of a kernel's Python module."""

    rule: str
    """A key of `kernelwright.verifier.static.rules.RULES`."""
    severity: Severity
    reason: str
    """One plain sentence."""
    mend: str
    """What to do about it, one plain sentence."""
    line: int | None = None
    """1-based line of the Python module, also for what stands in a CUDA string of it."""
    column: int | None = None
    """1-based column, in characters."""
    verdict: Verdict | None = None
    """What the kernel is judged, if the finding rejects it."""

    def to_json(self) -> dict[str, object]:
        """A JSON object."""
        return {
            "rule": self.rule,
            "severity": self.severity.value,
            "line": self.line,
            "column": self.column,
            "reason": self.reason,
            "mend": self.mend,
        }


@dataclass(frozen=True)
class StaticReport:
    """All findings: those that reject first, then warnings, then notes, each by line."""

    findings: tuple[Finding, ...]
    kernels: tuple[str, ...] = ()
    """Names of the `__global__` functions found, in the order they stand in."""
    not_analysed: int = 0
    """How many CUDA sources could not be read, in part or in whole, because they are made at run time."""

    @property
    def rejection(self) -> Finding | None:
        """The finding that decides, or None."""
        return next((f for f in self.findings if f.severity is Severity.REJECT), None)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings that only a run can judge."""
        return tuple(f for f in self.findings if f.severity is Severity.WARN)

    @property
    def notes(self) -> tuple[Finding, ...]:
        """Findings that are no reason for doubt."""
        return tuple(f for f in self.findings if f.severity is Severity.NOTE)

    def to_json(self) -> dict[str, object]:
        """A JSON object."""
        return {
            "findings": [finding.to_json() for finding in self.findings],
            "kernels": list(self.kernels),
            "sources_not_analysed": self.not_analysed,
        }
