"""Candidate: a kernel that passed, with what decides whether a model should learn from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kernelwright.bench_tasks.task import Task
from kernelwright.verifier.evaluation import TimingKind

__all__ = ["REQUIRED_STAGES", "Candidate", "Condemned", "Harvest", "Reasoning"]

REQUIRED_STAGES = ("static", "correctness", "integrity", "timing")
"""Stages that a full judgement has; one that ended early, or that somebody wrote himself, lacks one."""


@dataclass(frozen=True)
class Reasoning:
    """What a model said before its code."""

    text: str
    from_reference: bool
    """Whether it was shown the reference and nothing else: else the text speaks of kernels that the sample does not show."""


@dataclass(frozen=True)
class Candidate:
    """An attempt whose verdict is `passed`, as the store holds it. Times in seconds."""

    run_id: str
    number: int
    task: Task
    kernel_id: str
    kernel: str
    """Source."""
    author: str
    strategy: str
    evaluation_id: str
    stages: Mapping[str, str]
    """Status by name of the stage, the worst where a name comes twice."""
    remarks: tuple[str, ...]
    """What speaks against it though it passed, one sentence each."""
    kind: TimingKind
    gpu: str
    seconds: float
    baseline_seconds: float
    baseline: str
    bound_seconds: float
    device: str
    versions: Mapping[str, str]
    reasoning: Reasoning | None = None
    claim: float | None = None
    """The speed-up that an archive said it has; nothing rests on it."""
    licence: str = ""
    """Of the archive that the kernel is from, where it was told."""
    archive: str = ""
    """Name of that archive; empty for kernels that were written here."""

    @property
    def speedup(self) -> float:
        """Baseline over kernel, as judged here."""
        return self.baseline_seconds / self.seconds

    @property
    def key(self) -> tuple[str, int]:
        """Run and number: no other attempt has the same."""
        return self.run_id, self.number


@dataclass(frozen=True)
class Condemned:
    """Kernels that were found out at some time, whatever they were judged at another."""

    everywhere: Mapping[str, str]
    """Why, by id: cheating, unsafe or flagged kernels, whatever the task."""
    on_task: Mapping[tuple[str, str], str]
    """Why, by ids of task and kernel: judged otherwise than passed there."""
    sources: Sequence[str] = ()
    """Sources of those that cheated: the same kernel under other names is no better."""


@dataclass(frozen=True)
class Harvest:
    """What the store holds."""

    candidates: tuple[Candidate, ...]
    failed: Mapping[str, int]
    """Attempts that did not pass, counted by verdict."""
    condemned: Condemned
    attempts_of: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By task id: attempts, and those of them that passed."""
    judged_for: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By kernel id: the tasks on which it passed."""
    runs: int = 0

    def facts(self) -> dict[str, Any]:
        """Counts for people and JSON."""
        return {
            "runs": self.runs,
            "attempts": len(self.candidates) + sum(self.failed.values()),
            "passed": len(self.candidates),
            "failed": dict(sorted(self.failed.items())),
        }
