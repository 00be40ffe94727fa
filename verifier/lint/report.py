"""What the linter found out about a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from kernelwright.verifier.lint.rules import RULES, Severity

__all__ = ["Accepted", "Finding", "LintReport", "in_order", "worst"]

_ORDER = (Severity.REFUSED, Severity.MARKED, Severity.NOTE)


@dataclass(frozen=True)
class Finding:
    """One thing that was found, under one rule."""

    rule: str
    severity: Severity
    what: str
    """One sentence or two, with the figures."""
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def mend(self) -> str:
        """What to do about it."""
        return RULES[self.rule].mend

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        rule = RULES[self.rule]
        return {**asdict(self), "severity": self.severity.value, "why": rule.why, "mend": rule.mend}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Reads what `to_json` wrote."""
        figures = {str(name): float(value) for name, value in data["figures"].items()}
        if data["rule"] not in RULES:
            raise ValueError(f"there is no rule {data['rule']!r}")
        return cls(str(data["rule"]), Severity(data["severity"]), str(data["what"]), figures)


@dataclass(frozen=True)
class Accepted:
    """Where an attack's outputs were accepted, for one result or for all together."""

    rule: str
    subject: str
    """What is left out: `input 1`, `weight fc.bias`; empty for attacks that compute nothing."""
    how: str
    """What is there instead: `zeros`, `its first slice`."""
    result: str
    """Name of the output or gradient; empty for all together."""
    ours: bool
    """On every workload, by the task's own comparison."""
    ours_as_given: bool
    """By it, on the task's own inputs and initial weights."""
    tight: bool
    """There by torch.allclose at 1e-4."""
    loose: bool
    """At 1e-2."""
    is_function: bool = False
    """Whether it is right because it is what the module computes: on every workload, on those too where outputs vary. Then it is
    no attack."""

    @property
    def anywhere(self) -> bool:
        """Whether any comparison accepted it."""
        return self.ours or self.ours_as_given or self.tight or self.loose


@dataclass(frozen=True)
class LintReport:
    """One task."""

    task: str
    """Name in its suite."""
    task_id: str
    scale: str
    findings: tuple[Finding, ...]
    """The gravest first."""
    accepted: tuple[Accepted, ...] = ()
    """Attacks that some comparison accepted."""
    results: tuple[str, ...] = ()
    """Names of the outputs, of the gradients, and of the inputs that are changed in place."""
    attacks: int = 0
    """How many were tried."""
    calls: int = 0
    """Sets of inputs on which they were tried."""
    effects: Mapping[str, float] = field(default_factory=dict)
    """Relative change of the outputs, root mean square, when an input or weight of that name is replaced."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """Of the outputs on the task's own inputs, and of one call at full size; see docs/task-lint.md."""
    seconds: float = 0.0

    @property
    def status(self) -> str:
        """`refused`, `marked` or `clean`."""
        found = worst(self.findings)
        return "clean" if found in (None, Severity.NOTE) else found.value

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "task": self.task,
            "task_id": self.task_id,
            "scale": self.scale,
            "status": self.status,
            "findings": [finding.to_json() for finding in self.findings],
            "accepted": [asdict(each) for each in self.accepted],
            "results": list(self.results),
            "attacks": self.attacks,
            "calls": self.calls,
            "effects": dict(self.effects),
            "figures": dict(self.figures),
            "seconds": round(self.seconds, 3),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Reads what `to_json` wrote.

        Raises:
            ValueError, KeyError, TypeError: it is nothing of the kind.
        """
        return cls(
            task=str(data["task"]),
            task_id=str(data["task_id"]),
            scale=str(data["scale"]),
            findings=tuple(map(Finding.from_json, data["findings"])),
            accepted=tuple(Accepted(**each) for each in data["accepted"]),
            results=tuple(map(str, data["results"])),
            attacks=int(data["attacks"]),
            calls=int(data["calls"]),
            effects={str(name): float(value) for name, value in data["effects"].items()},
            figures={str(name): float(value) for name, value in data["figures"].items()},
            seconds=float(data["seconds"]),
        )


def worst(findings: tuple[Finding, ...]) -> Severity | None:
    """The gravest severity; None without findings."""
    return next((severity for severity in _ORDER if any(f.severity is severity for f in findings)), None)


def in_order(findings: list[Finding]) -> tuple[Finding, ...]:
    """The gravest first, then in the order of the rules."""
    names = list(RULES)
    return tuple(sorted(findings, key=lambda f: (_ORDER.index(f.severity), names.index(f.rule))))
