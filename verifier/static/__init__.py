"""Static analysis: what can be said of a kernel's module before it runs, from its syntax trees alone."""

from __future__ import annotations

from kernelwright.verifier.static.analysis import analyse, check
from kernelwright.verifier.static.findings import Finding, Severity, StaticReport
from kernelwright.verifier.static.rules import RULES, Rule

__all__ = ["RULES", "Finding", "Rule", "Severity", "StaticReport", "analyse", "check"]
