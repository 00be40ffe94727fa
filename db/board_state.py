"""What a leaderboard rests on, in short: to know without making it whether it would be another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from kernelwright.db.models import BaselineRow, BenchItemRow, BenchRunRow, SubmissionItemRow, SubmissionRow

__all__ = ["BoardState", "board_state"]


@dataclass(frozen=True)
class BoardState:
    """Two that are equal have the same leaderboard, but for attempts of a task that has not ended yet."""

    runs: Mapping[str, tuple[datetime, datetime | None]]
    """By run of a suite, when it and its items last changed."""
    submissions: Mapping[str, int]
    """By submission, how many of its kernels were judged."""
    baselines: int
    """The newest baseline."""


def board_state(session: Session) -> BoardState:
    """One row for each run of a suite and each submission."""
    changed = (
        select(BenchItemRow.bench_run_id, func.max(BenchItemRow.updated).label("updated"))
        .group_by(BenchItemRow.bench_run_id)
        .subquery()
    )
    runs = session.execute(
        select(BenchRunRow.id, BenchRunRow.updated, changed.c.updated).outerjoin(
            changed, changed.c.bench_run_id == BenchRunRow.id
        )
    )
    judged = session.execute(
        select(SubmissionRow.id, func.count(SubmissionItemRow.task))
        .outerjoin(SubmissionItemRow, SubmissionItemRow.submission_id == SubmissionRow.id)
        .group_by(SubmissionRow.id)
    )
    return BoardState(
        {row[0]: (row[1], row[2]) for row in runs},
        {row[0]: row[1] for row in judged},
        session.scalar(select(func.max(BaselineRow.id))) or 0,
    )
