"""Kernels of a task that passed, with their scores: what contrastive prompts, rewards and fine-tuning look at."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from kernelwright.bench_tasks.scoring.results import Integrity
from kernelwright.db.models import EvaluationRow, KernelRow, SubmissionItemRow
from kernelwright.rl.contrastive.exemplars import Variant
from kernelwright.verifier.evaluation import FOUND_OUT, NOTHING_AGAINST, TimingKind, Verdict

__all__ = ["MOST_VARIANTS", "variants_of"]

MOST_VARIANTS = 5000
"""Of a task, the newest: some tens of MB of source."""


def variants_of(
    session: Session, task_id: str, gpu: str, kind: TimingKind, before: datetime | None = None
) -> list[Variant]:
    """Kernels that passed on the task, timed for this GPU in this way, oldest first; each evaluation once.

    None that was found out at any time: that cheated or was unsafe anywhere, was wrong here, or is not clean in a submission.

    Args:
        before: only evaluations from before this time, aware.
    """
    harmless = [verdict.value for verdict in NOTHING_AGAINST]
    judged_badly = select(EvaluationRow.kernel_id).where(
        or_(
            EvaluationRow.verdict.in_([verdict.value for verdict in FOUND_OUT]),
            (EvaluationRow.task_id == task_id) & EvaluationRow.verdict.not_in(harmless),
        )
    )
    submitted = (
        select(EvaluationRow.kernel_id)
        .join(SubmissionItemRow, SubmissionItemRow.evaluation_id == EvaluationRow.id)
        .where(SubmissionItemRow.integrity != Integrity.CLEAN.value)
    )
    query = (
        select(KernelRow.id, KernelRow.source, EvaluationRow.speedup, EvaluationRow.seconds)
        .join(KernelRow, KernelRow.id == EvaluationRow.kernel_id)
        .where(
            EvaluationRow.task_id == task_id,
            EvaluationRow.verdict == Verdict.PASSED.value,
            EvaluationRow.timing_kind == kind.value,
            EvaluationRow.gpu == gpu,
            *(() if before is None else (EvaluationRow.created < before,)),
            KernelRow.id.not_in(judged_badly),
            KernelRow.id.not_in(submitted),
        )
        .order_by(EvaluationRow.created.desc(), EvaluationRow.id)
        .limit(MOST_VARIANTS)
    )
    found = [
        Variant(kernel_id, source, speedup, seconds, kind)
        for kernel_id, source, speedup, seconds in session.execute(query)
        if speedup is not None and seconds is not None and 0 < speedup < float("inf")
    ]
    return found[::-1]
