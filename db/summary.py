"""Runs in one line each, with their best attempt, in one query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, case, func, select

from kernelwright.db.models import AttemptRow, EvaluationRow, RunRow
from kernelwright.rl.run import RunStatus
from kernelwright.verifier.evaluation import TimingKind, Verdict

__all__ = ["RunSummary", "modelled_last", "summaries", "summary_of"]

_FARTHEST_FIRST = (
    Verdict.PASSED,
    Verdict.WRONG,
    Verdict.CHEATING,
    Verdict.UNSAFE,
    Verdict.TIMEOUT,
    Verdict.CRASHED,
    Verdict.COMPILE_ERROR,
    Verdict.REJECTED,
    Verdict.UNSUPPORTED,
)
"""Verdicts from the one that came farthest through the stages."""


@dataclass(frozen=True)
class RunSummary:
    """A run in one line. The figures are those of its best attempt: the fastest that passed, or else the verdict of
    the one that came farthest."""

    id: str
    task_id: str
    task_name: str
    strategy: str
    coder: str
    judge: str
    device: str
    gpu: str
    rounds: int
    status: RunStatus
    message: str
    created: datetime
    updated: datetime
    attempts: int
    passed: int
    best_number: int | None
    best_verdict: Verdict | None
    timing_kind: TimingKind | None
    seconds: float | None
    baseline_seconds: float | None
    speedup: float | None


def modelled_last() -> Any:
    """Sorts measured times before modelled ones, which are not compared with them."""
    return case((EvaluationRow.timing_kind == TimingKind.MEASURED.value, 0), else_=1)


def summaries(limit: int, task: str | None) -> Select[Any]:
    """The query for the newest `limit` runs (of the task with this name or id), newest first, each as one row."""
    newest = select(RunRow.id).order_by(RunRow.created.desc(), RunRow.id).limit(limit)
    if task is not None:
        newest = newest.where((RunRow.task_name == task) | (RunRow.task_id == task))
    passed = EvaluationRow.verdict == Verdict.PASSED.value
    farthest = case({v.value: place for place, v in enumerate(_FARTHEST_FIRST)}, value=EvaluationRow.verdict)
    best_first = [farthest, modelled_last(), EvaluationRow.seconds, AttemptRow.number]
    ranked = (
        select(
            AttemptRow.run_id,
            AttemptRow.number,
            EvaluationRow.verdict,
            EvaluationRow.timing_kind,
            EvaluationRow.seconds,
            EvaluationRow.baseline_seconds,
            EvaluationRow.speedup,
            func.row_number().over(partition_by=AttemptRow.run_id, order_by=best_first).label("place"),
            func.count().over(partition_by=AttemptRow.run_id).label("attempts"),
            func.sum(case((passed, 1), else_=0)).over(partition_by=AttemptRow.run_id).label("passed"),
        )
        .join(AttemptRow.evaluation)
        .where(AttemptRow.run_id.in_(newest))
        .subquery()
    )
    return (
        select(
            *(column for column in RunRow.__table__.c if column.name not in {"settings", "task_path"}),
            func.coalesce(ranked.c.attempts, 0).label("attempts"),
            func.coalesce(ranked.c.passed, 0).label("passed"),
            ranked.c.number.label("best_number"),
            ranked.c.verdict.label("best_verdict"),
            ranked.c.timing_kind,
            ranked.c.seconds,
            ranked.c.baseline_seconds,
            ranked.c.speedup,
        )
        .outerjoin(ranked, (ranked.c.run_id == RunRow.id) & (ranked.c.place == 1))
        .where(RunRow.id.in_(newest))
        .order_by(RunRow.created.desc(), RunRow.id)
    )


def summary_of(found: Mapping[Any, Any]) -> RunSummary:
    """A row of `summaries` as a noun."""
    values: dict[str, Any] = dict(found)
    values["status"] = RunStatus(values["status"])
    values["best_verdict"] = None if values["best_verdict"] is None else Verdict(values["best_verdict"])
    values["timing_kind"] = None if values["timing_kind"] is None else TimingKind(values["timing_kind"])
    return RunSummary(**values)
