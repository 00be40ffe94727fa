"""Kernels of a task that passed, with their scores: what contrastive prompts, rewards and fine-tuning look at."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from kernelwright.db.models import EvaluationRow, KernelRow
from kernelwright.rl.contrastive.exemplars import Variant
from kernelwright.verifier.evaluation import TimingKind, Verdict

__all__ = ["MOST_VARIANTS", "variants_of"]

MOST_VARIANTS = 5000
"""Of a task, the newest: some tens of MB of source."""


def variants_of(session: Session, task_id: str, gpu: str, kind: TimingKind) -> list[Variant]:
    """Kernels that passed on the task, timed for this GPU in this way, oldest first; each evaluation once."""
    query = (
        select(KernelRow.id, KernelRow.source, EvaluationRow.speedup, EvaluationRow.seconds)
        .join(KernelRow, KernelRow.id == EvaluationRow.kernel_id)
        .where(
            EvaluationRow.task_id == task_id,
            EvaluationRow.verdict == Verdict.PASSED.value,
            EvaluationRow.timing_kind == kind.value,
            EvaluationRow.gpu == gpu,
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
