"""Attempts of a run in short: what a table and a curve need, without sources, evidence or profiles."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from kernelwright.db.models import AttemptRow, EvaluationRow
from kernelwright.verifier.evaluation import TimingKind, Verdict

__all__ = ["AttemptLine", "attempt_lines"]


@dataclass(frozen=True)
class AttemptLine:
    """One attempt in a line; times in seconds, None where nothing was timed."""

    number: int
    plan: str
    author: str
    kernel_id: str
    evaluation_id: str
    parents: tuple[str, ...]
    parameters: dict[str, Any]
    verdict: Verdict
    reason: str
    timing_kind: TimingKind | None
    seconds: float | None
    baseline_seconds: float | None
    speedup: float | None
    advice: str
    """The judge's, in a sentence; empty where there is none."""
    created: datetime
    wall_seconds: float
    """What the attempt itself took."""


def attempt_lines(session: Session, run_id: str) -> list[AttemptLine]:
    """The attempts of the run with exactly this id, in order."""
    attempt, evaluation = AttemptRow, EvaluationRow
    query = (
        select(
            attempt.number, attempt.plan, attempt.author, attempt.kernel_id, attempt.evaluation_id, attempt.parents,
            attempt.parameters, attempt.advice, attempt.created, attempt.seconds, evaluation.verdict, evaluation.reason,
            evaluation.timing_kind, evaluation.seconds.label("time"), evaluation.baseline_seconds, evaluation.speedup,
        )
        .join(attempt.evaluation)
        .where(attempt.run_id == run_id)
        .order_by(attempt.number)
    )  # fmt: skip
    return [
        AttemptLine(
            number=row.number,
            plan=row.plan,
            author=row.author,
            kernel_id=row.kernel_id,
            evaluation_id=row.evaluation_id,
            parents=tuple(row.parents),
            parameters=dict(row.parameters),
            verdict=Verdict(row.verdict),
            reason=row.reason,
            timing_kind=None if row.timing_kind is None else TimingKind(row.timing_kind),
            seconds=row.time,
            baseline_seconds=row.baseline_seconds,
            speedup=row.speedup,
            advice=str((row.advice or {}).get("change", "")),
            created=row.created,
            wall_seconds=row.seconds,
        )
        for row in session.execute(query)
    ]
