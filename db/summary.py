"""Runs in one line each, with their best attempt, in two queries however many runs there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from kernelwright.agents.ranking import fastest
from kernelwright.db.models import AttemptRow, EvaluationRow, RunRow
from kernelwright.rl.run import RunStatus
from kernelwright.verifier.evaluation import TimingKind, Verdict

__all__ = ["RunSummary", "summaries"]

_FARTHEST_FIRST = (
    Verdict.PASSED,
    Verdict.OUTCLASSED,
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
class _Attempt:
    """What a summary needs of one attempt; times in seconds, None where nothing was timed."""

    number: int
    verdict: Verdict
    kind: TimingKind | None
    seconds: float | None
    baseline_seconds: float | None
    speedup: float | None


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


def summaries(session: Session, limit: int, task: str | None) -> list[RunSummary]:
    """The newest `limit` runs (of the task with this name or id), newest first."""
    newest = select(RunRow).order_by(RunRow.created.desc(), RunRow.id).limit(limit)
    if task is not None:
        newest = newest.where((RunRow.task_name == task) | (RunRow.task_id == task))
    runs = session.scalars(newest).all()
    made: dict[str, list[_Attempt]] = {run.id: [] for run in runs}
    figures = (
        select(
            AttemptRow.run_id,
            AttemptRow.number,
            EvaluationRow.verdict,
            EvaluationRow.timing_kind,
            EvaluationRow.seconds,
            EvaluationRow.baseline_seconds,
            EvaluationRow.speedup,
        )
        .join(AttemptRow.evaluation)
        .where(AttemptRow.run_id.in_(newest.with_only_columns(RunRow.id)))
        .order_by(AttemptRow.run_id, AttemptRow.number)
    )
    for run_id, number, verdict, kind, *numbers in session.execute(figures):
        made[run_id].append(_Attempt(number, Verdict(verdict), None if kind is None else TimingKind(kind), *numbers))
    return [_summary(run, made[run.id]) for run in runs]


def _summary(run: RunRow, attempts: list[_Attempt]) -> RunSummary:
    passed = [a for a in attempts if a.verdict is Verdict.PASSED]
    best = fastest((a, a.kind, a.seconds) for a in passed if a.kind is not None and a.seconds is not None)
    if best is None:
        best = min(attempts, key=lambda a: _FARTHEST_FIRST.index(a.verdict), default=None)
    return RunSummary(
        id=run.id,
        task_id=run.task_id,
        task_name=run.task_name,
        strategy=run.strategy,
        coder=run.coder,
        judge=run.judge,
        device=run.device,
        gpu=run.gpu,
        rounds=run.rounds,
        status=RunStatus(run.status),
        message=run.message,
        created=run.created,
        updated=run.updated,
        attempts=len(attempts),
        passed=len(passed),
        best_number=None if best is None else best.number,
        best_verdict=None if best is None else best.verdict,
        timing_kind=None if best is None else best.kind,
        seconds=None if best is None else best.seconds,
        baseline_seconds=None if best is None else best.baseline_seconds,
        speedup=None if best is None else best.speedup,
    )
