"""What curation reads of the store: attempts that passed, page by page, and which kernels were found out at any time.

Profiles are left where they are: they are the largest part of an evaluation, and nothing of a data set rests on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from kernelwright.agents.models.protocol import Reply
from kernelwright.bench_tasks.scoring.results import Integrity
from kernelwright.db.calls import reply_of
from kernelwright.db.models import (
    AttemptRow,
    DeviceRow,
    EvaluationRow,
    KernelRow,
    ModelCallRow,
    RunRow,
    SubmissionItemRow,
)
from kernelwright.verifier.evaluation import FOUND_OUT, NOTHING_AGAINST, Verdict

__all__ = ["Flags", "JudgedRow", "flags", "judged", "reasonings", "tallies"]


@dataclass(frozen=True)
class JudgedRow:
    """An attempt that passed. Times in seconds."""

    row: int
    run_id: str
    number: int
    task_id: str
    task_name: str
    task_path: str | None
    strategy: str
    settings: Mapping[str, Any]
    """Of the run."""
    kernel_id: str
    source: str
    author: str
    evaluation_id: str
    stages: Sequence[Mapping[str, Any]]
    timing: Mapping[str, Any]
    device: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Flags:
    """Kernels that were found out."""

    everywhere: Mapping[str, str]
    """By id: cheating, unsafe, or refused or suspect in a submission."""
    on_task: Mapping[tuple[str, str], str]
    """By ids of task and kernel: the verdict of another evaluation there."""
    sources: Sequence[str]
    """Of kernels that cheated, in order of their ids."""


def judged(session: Session, after: int, limit: int) -> list[JudgedRow]:
    """See `kernelwright.db.store.Store.judged`."""
    query = (
        select(
            AttemptRow.id, AttemptRow.run_id, AttemptRow.number, RunRow.task_id, RunRow.task_name, RunRow.task_path,
            RunRow.strategy, RunRow.settings, AttemptRow.kernel_id, KernelRow.source, AttemptRow.author, EvaluationRow.id,
            EvaluationRow.stages, EvaluationRow.timing, DeviceRow.name, DeviceRow.versions,
        )
        .join(RunRow, RunRow.id == AttemptRow.run_id)
        .join(KernelRow, KernelRow.id == AttemptRow.kernel_id)
        .join(EvaluationRow, EvaluationRow.id == AttemptRow.evaluation_id)
        .join(DeviceRow, DeviceRow.id == EvaluationRow.device_id)
        .where(EvaluationRow.verdict == Verdict.PASSED.value, AttemptRow.id > after)
        .order_by(AttemptRow.id)
        .limit(limit)
    )  # fmt: skip
    return [JudgedRow(*row) for row in session.execute(query)]


def reasonings(session: Session, attempts: Sequence[tuple[str, int]]) -> dict[tuple[str, int], tuple[str, Reply]]:
    """See `kernelwright.db.store.Store.reasonings`."""
    wanted = set(attempts)
    query = (
        select(ModelCallRow)
        .where(
            ModelCallRow.run_id.in_({run_id for run_id, _ in wanted}),
            ModelCallRow.role == "coder",
            ModelCallRow.reply.is_not(None),
        )
        .order_by(ModelCallRow.run_id, ModelCallRow.attempt, ModelCallRow.turn)
    )
    found = {}
    for row in session.scalars(query):
        if (row.run_id, row.attempt) in wanted and row.reply is not None:
            # asked again, the answer is about the one before: its prompt is no longer the reference alone
            prompt = row.prompt if row.turn == 0 else "again"
            found[row.run_id, row.attempt] = prompt, reply_of(row.reply)
    return found


def tallies(session: Session) -> dict[str, dict[str, int]]:
    """See `kernelwright.db.store.Store.tallies`."""
    query = (
        select(EvaluationRow.task_id, EvaluationRow.verdict, func.count(AttemptRow.id))
        .join(AttemptRow, AttemptRow.evaluation_id == EvaluationRow.id)
        .group_by(EvaluationRow.task_id, EvaluationRow.verdict)
    )
    found: dict[str, dict[str, int]] = {}
    for task_id, verdict, count in session.execute(query):
        found.setdefault(task_id, {})[verdict] = count
    return found


def flags(session: Session) -> Flags:
    """See `kernelwright.db.store.Store.flags`."""
    everywhere: dict[str, str] = {}
    on_task: dict[tuple[str, str], str] = {}
    harmless = [verdict.value for verdict in NOTHING_AGAINST]
    verdicts = (
        select(EvaluationRow.task_id, EvaluationRow.kernel_id, EvaluationRow.verdict)
        .where(EvaluationRow.verdict.not_in(harmless))
        .order_by(EvaluationRow.verdict, EvaluationRow.task_id, EvaluationRow.kernel_id)
    )
    for task_id, kernel_id, verdict in session.execute(verdicts):
        on_task.setdefault((task_id, kernel_id), verdict)
        if verdict in FOUND_OUT:
            everywhere.setdefault(kernel_id, verdict)
    submitted = (
        select(EvaluationRow.kernel_id, SubmissionItemRow.integrity)
        .join(SubmissionItemRow, SubmissionItemRow.evaluation_id == EvaluationRow.id)
        .where(SubmissionItemRow.integrity != Integrity.CLEAN.value)
        .order_by(SubmissionItemRow.integrity, EvaluationRow.kernel_id)
    )
    for kernel_id, integrity in session.execute(submitted):
        everywhere.setdefault(kernel_id, f"{integrity} in a submission")
    cheated = (
        select(KernelRow.source)
        .where(KernelRow.id.in_(select(EvaluationRow.kernel_id).where(EvaluationRow.verdict == Verdict.CHEATING.value)))
        .order_by(KernelRow.id)
    )
    return Flags(everywhere, on_task, list(session.scalars(cheated)))
