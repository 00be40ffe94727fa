"""Runs in one line each, with their best attempt, in three queries however many runs there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from kernelwright.agents.ranking import fastest
from kernelwright.db.models import AttemptRow, EvaluationRow, RunRow
from kernelwright.rl.run import RunStatus
from kernelwright.verifier.evaluation import TimingKind, Verdict

__all__ = ["Figures", "RunSummary", "summaries"]

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
    """What a summary needs of one attempt, as it is stored; times in seconds, None where nothing was timed."""

    number: int
    verdict: str
    kind: str | None
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


Figures = dict[tuple[str, int], "_Figures"]
"""By run and number of attempts, which are only ever added: the figures of so many do not change."""
_KEPT = 5000


def summaries(session: Session, limit: int, task: str | None, known: Figures) -> list[RunSummary]:
    """The newest `limit` runs (of the task with this name or id), newest first.

    Args:
        known: what was found out before; it is added to.
    """
    newest = (
        select(*(getattr(RunRow, name) for name in _OF_RUN)).order_by(RunRow.created.desc(), RunRow.id).limit(limit)
    )
    if task is not None:
        newest = newest.where((RunRow.task_name == task) | (RunRow.task_id == task))
    runs = session.execute(newest).all()
    counted = (
        select(AttemptRow.run_id, func.count())
        .where(AttemptRow.run_id.in_([run.id for run in runs]))
        .group_by(AttemptRow.run_id)
    )
    counts = {row[0]: row[1] for row in session.execute(counted)}
    if len(known) > _KEPT:
        known.clear()
    found: Figures = {}
    for key in ((run.id, counts.get(run.id, 0)) for run in runs):
        if (figures := known.get(key)) is not None:
            found[key] = figures
    found |= _figures(
        session,
        [(run.id, counts[run.id]) for run in runs if run.id in counts and (run.id, counts[run.id]) not in found],
    )
    known.update(found)
    return [_summary(run, found.get((run.id, counts.get(run.id, 0)), _NO_FIGURES)) for run in runs]


_OF_RUN = (
    "id", "task_id", "task_name", "strategy", "coder", "judge", "device", "gpu", "rounds", "status", "message", "created", "updated",
)  # fmt: skip


@dataclass(frozen=True)
class _Figures:
    """Of a run's attempts and the best of them."""

    attempts: int
    passed: int
    best_number: int | None = None
    best_verdict: Verdict | None = None
    timing_kind: TimingKind | None = None
    seconds: float | None = None
    baseline_seconds: float | None = None
    speedup: float | None = None


_NO_FIGURES = _Figures(0, 0)


def _figures(session: Session, runs: Sequence[tuple[str, int]]) -> Figures:
    """Of these runs with so many attempts; one to which another was added just now has those of so many."""
    if not runs:
        return {}
    query = (
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
        .where(AttemptRow.run_id.in_([run_id for run_id, _ in runs]))
        .order_by(AttemptRow.run_id, AttemptRow.number)
    )
    made: dict[str, list[_Attempt]] = {run_id: [] for run_id, _ in runs}
    for row in session.execute(query):
        made[row[0]].append(_Attempt(row[1], row[2], row[3], row[4], row[5], row[6]))
    return {(run_id, count): _best(made[run_id][:count]) for run_id, count in runs}


def _best(attempts: list[_Attempt]) -> _Figures:
    passed = [a for a in attempts if a.verdict == Verdict.PASSED]
    best = fastest((a, TimingKind(a.kind), a.seconds) for a in passed if a.kind is not None and a.seconds is not None)
    if best is None:
        best = min(attempts, key=lambda a: _FARTHEST_FIRST.index(Verdict(a.verdict)), default=None)
    if best is None:
        return _NO_FIGURES
    return _Figures(
        len(attempts), len(passed), best.number, Verdict(best.verdict), None if best.kind is None else TimingKind(best.kind),
        best.seconds, best.baseline_seconds, best.speedup,
    )  # fmt: skip


def _summary(run: Row[Any], figures: _Figures) -> RunSummary:
    return RunSummary(**{**run._mapping, "status": RunStatus(run.status)}, **vars(figures))
