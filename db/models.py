"""Tables of the five nouns: Task, Kernel, Evaluation, Device, Run with its Attempts; of suites that were run, and of entries sent in.

Tasks, kernels, devices and evaluations are named by a hash of their content, so the same one is stored once. A name,
a path or an author is no part of such a hash: each row keeps the first ones seen, and a run or an attempt keeps its
own. All tables but `runs`, `run_events`, `bench_runs` and `bench_items` are append-only (see `Immutable` and the triggers of the first migration).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from kernelwright.db.types import UtcDateTime

__all__ = [
    "AttemptRow",
    "Base",
    "BaselineRow",
    "BenchItemRow",
    "BenchRunRow",
    "DeviceRow",
    "EvaluationRow",
    "Immutable",
    "KernelParentRow",
    "KernelRow",
    "ModelCallRow",
    "RunEventRow",
    "RunRow",
    "SubmissionItemRow",
    "SubmissionRow",
    "TaskAttachmentRow",
    "TaskRow",
]

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
"""Every constraint has a name, or a later migration could not drop it."""

HASH = String(16)
"""A content hash: 16 hex digits."""


class Base(DeclarativeBase):
    """Base of all tables; a plain `dict` or `list` in an annotation is a JSON column."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy reads it from the class)
        str: Text(),
        float: Double(),
        datetime: UtcDateTime(),
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
    }


class Immutable:
    """Marks rows that are never changed or deleted: the session refuses it, and so do triggers in the database."""


class TaskRow(Immutable, Base):
    """`kernelwright.bench_tasks.task.Task`; `id` is its content hash."""

    __tablename__ = "tasks"

    id: Mapped[str] = mapped_column(HASH, primary_key=True)
    name: Mapped[str]
    path: Mapped[str | None]
    format: Mapped[str] = mapped_column(String(32))
    source: Mapped[str]
    workloads: Mapped[list[Any]]
    """``[[name, distribution, seeds], ...]``"""
    policy: Mapped[dict[str, Any]]
    """The numeric policy; `backward` besides, if the task asks for gradients."""
    created: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    attachments: Mapped[list[TaskAttachmentRow]] = relationship(order_by="TaskAttachmentRow.name", lazy="selectin")


class TaskAttachmentRow(Immutable, Base):
    """A file that a task's source reads."""

    __tablename__ = "task_attachments"

    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class KernelRow(Immutable, Base):
    """`kernelwright.sandbox.kernel.Kernel`; `id` is the hash of its source, the rest is as first seen."""

    __tablename__ = "kernels"

    id: Mapped[str] = mapped_column(HASH, primary_key=True)
    source: Mapped[str]
    author: Mapped[str] = mapped_column(Text, index=True)
    parameters: Mapped[dict[str, Any]]
    path: Mapped[str | None]
    created: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    parents: Mapped[list[KernelParentRow]] = relationship(order_by="KernelParentRow.position", lazy="selectin")


class KernelParentRow(Immutable, Base):
    """Which kernels a kernel came from. A parent need not be stored, so `parent_id` is no foreign key."""

    __tablename__ = "kernel_parents"

    kernel_id: Mapped[str] = mapped_column(ForeignKey("kernels.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[str] = mapped_column(HASH, index=True)


class DeviceRow(Immutable, Base):
    """`kernelwright.verifier.evaluation.DeviceInfo`; `id` is the hash of all its fields, so each is stored once."""

    __tablename__ = "devices"

    id: Mapped[str] = mapped_column(HASH, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str]
    gpu: Mapped[str] = mapped_column(Text, index=True)
    arch: Mapped[str] = mapped_column(String(16))
    isolation: Mapped[str] = mapped_column(String(16))
    versions: Mapped[dict[str, Any]]
    created: Mapped[datetime]


class EvaluationRow(Immutable, Base):
    """`kernelwright.verifier.evaluation.Evaluation`; `id` is the hash of all its fields.

    The timing is stored whole as JSON; the columns from `timing_kind` to `speedup` repeat its figures for queries
    (times in seconds). `wall_seconds` is what the evaluation itself took.
    """

    __tablename__ = "evaluations"
    __table_args__ = (
        CheckConstraint("(verdict = 'passed') = (timing_kind IS NOT NULL)", name="only_passed_is_timed"),
        CheckConstraint("seconds > 0 AND baseline_seconds > 0", name="times_positive"),
        Index(None, "task_id", "timing_kind", "gpu", "seconds"),
    )

    id: Mapped[str] = mapped_column(HASH, primary_key=True)
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id"))
    kernel_id: Mapped[str] = mapped_column(ForeignKey("kernels.id"), index=True)
    device_id: Mapped[str] = mapped_column(ForeignKey("devices.id"), index=True)
    verdict: Mapped[str] = mapped_column(String(16), index=True)
    reason: Mapped[str]
    stages: Mapped[list[Any]]
    timing: Mapped[dict[str, Any] | None]
    timing_kind: Mapped[str | None] = mapped_column(String(16))
    gpu: Mapped[str]
    seconds: Mapped[float | None]
    baseline_seconds: Mapped[float | None]
    speedup: Mapped[float | None] = mapped_column(index=True)
    profile: Mapped[dict[str, Any] | None]
    seeds: Mapped[dict[str, Any]]
    wall_seconds: Mapped[float]
    created: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    device: Mapped[DeviceRow] = relationship(lazy="joined")


class RunRow(Base):
    """`kernelwright.rl.run.Run`: of its rows only status, message and `updated` change, and a licence that was not known may be noted."""

    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id"), index=True)
    task_name: Mapped[str] = mapped_column(Text, index=True)
    task_path: Mapped[str | None]
    strategy: Mapped[str] = mapped_column(String(32))
    coder: Mapped[str]
    judge: Mapped[str]
    device: Mapped[str] = mapped_column(String(16))
    gpu: Mapped[str]
    rounds: Mapped[int]
    status: Mapped[str] = mapped_column(String(16), index=True)
    message: Mapped[str]
    settings: Mapped[dict[str, Any]]
    created: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    updated: Mapped[datetime]
    task: Mapped[TaskRow] = relationship()


class AttemptRow(Immutable, Base):
    """`kernelwright.rl.run.Attempt`, with the author, parents, parameters and path its kernel had in this attempt."""

    __tablename__ = "attempts"
    __table_args__ = (UniqueConstraint("run_id", "number"), CheckConstraint("number >= 1", name="number_from_one"))

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"))
    number: Mapped[int]
    plan: Mapped[str]
    kernel_id: Mapped[str] = mapped_column(ForeignKey("kernels.id"), index=True)
    author: Mapped[str]
    parents: Mapped[list[Any]]
    parameters: Mapped[dict[str, Any]]
    kernel_path: Mapped[str | None]
    evaluation_id: Mapped[str] = mapped_column(ForeignKey("evaluations.id"), index=True)
    advice: Mapped[dict[str, Any] | None]
    notes: Mapped[list[Any]]
    created: Mapped[datetime]
    seconds: Mapped[float]
    kernel: Mapped[KernelRow] = relationship()
    evaluation: Mapped[EvaluationRow] = relationship()


class RunEventRow(Base):
    """`kernelwright.db.run_events.RunEvent`: what a search said; rows of an attempt's stages are deleted when it has ended."""

    __tablename__ = "run_events"
    __table_args__ = (CheckConstraint("number >= 1", name="number_from_one"),)

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(32))
    fields: Mapped[dict[str, Any]]
    created: Mapped[datetime]


class ModelCallRow(Immutable, Base):
    """`kernelwright.agents.models.calls.Call`: one try at a call of a language model.

    `attempt` is no foreign key: a call is paid before its attempt has ended, and the attempt may never end. Tokens are as
    in `Usage`; `dollars` is the exact decimal number as text, so sums are made outside the database.
    """

    __tablename__ = "model_calls"
    __table_args__ = (
        CheckConstraint("attempt >= 1 AND turn >= 0", name="place_in_range"),
        Index(
            "ux_model_calls_answered",
            "run_id",
            "attempt",
            "role",
            "turn",
            unique=True,
            sqlite_where=text("reply IS NOT NULL"),
            postgresql_where=text("reply IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), index=True)
    attempt: Mapped[int]
    role: Mapped[str]
    turn: Mapped[int]
    model: Mapped[str]
    prompt: Mapped[str]
    request: Mapped[dict[str, Any]]
    reply: Mapped[dict[str, Any] | None]
    error: Mapped[str]
    input_tokens: Mapped[int] = mapped_column(BigInteger)
    cache_read_tokens: Mapped[int] = mapped_column(BigInteger)
    cache_write_tokens: Mapped[int] = mapped_column(BigInteger)
    output_tokens: Mapped[int] = mapped_column(BigInteger)
    reasoning_tokens: Mapped[int] = mapped_column(BigInteger)
    dollars: Mapped[str]
    estimated: Mapped[bool]
    seconds: Mapped[float]
    created: Mapped[datetime]


class BenchRunRow(Base):
    """`kernelwright.db.bench.BenchRun`: of its rows status, message, `settings` and `updated` change."""

    __tablename__ = "bench_runs"
    __table_args__ = (CheckConstraint("repeats >= 1 AND rounds >= 1", name="counts_from_one"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    suite: Mapped[str] = mapped_column(Text, index=True)
    suite_path: Mapped[str | None]
    digest: Mapped[str] = mapped_column(HASH)
    suite_size: Mapped[int]
    scale: Mapped[str] = mapped_column(String(16))
    strategy: Mapped[str] = mapped_column(String(32))
    coder: Mapped[str]
    judge: Mapped[str]
    rounds: Mapped[int]
    repeats: Mapped[int]
    device: Mapped[str] = mapped_column(String(16))
    gpu: Mapped[str]
    status: Mapped[str] = mapped_column(String(16))
    message: Mapped[str]
    settings: Mapped[dict[str, Any]]
    environment: Mapped[dict[str, Any]]
    created: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    updated: Mapped[datetime]


class BenchItemRow(Base):
    """`kernelwright.db.bench.BenchItem`: one task and repeat; who works on it changes `run_id` to `seconds`.

    `run_id` is no foreign key: it is chosen and stored before the search begins, so that a search which was begun is always
    found again, and a search that could not begin leaves no run.
    """

    __tablename__ = "bench_items"
    __table_args__ = (
        UniqueConstraint("bench_run_id", "name", "repeat"),
        UniqueConstraint("run_id"),
        CheckConstraint("repeat >= 0 AND starts >= 0 AND seconds >= 0", name="counts_in_range"),
    )

    bench_run_id: Mapped[str] = mapped_column(ForeignKey("bench_runs.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    repeat: Mapped[int]
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id"), index=True)
    task_name: Mapped[str]
    task_path: Mapped[str | None]
    run_id: Mapped[str | None] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    problem: Mapped[str]
    starts: Mapped[int]
    seconds: Mapped[float]
    updated: Mapped[datetime]


class BaselineRow(Immutable, Base):
    """`kernelwright.db.baselines.Baseline`: what a task's own module takes on a device, times in seconds."""

    __tablename__ = "baselines"
    __table_args__ = (
        CheckConstraint(
            "seconds_low > 0 AND seconds_low <= seconds AND seconds <= seconds_high", name="times_in_order"
        ),
        CheckConstraint("timing_kind IN ('measured', 'modelled')", name="timing_kind_known"),
        Index(None, "task_id", "timing_kind", "gpu"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id"))
    device_id: Mapped[str] = mapped_column(ForeignKey("devices.id"))
    name: Mapped[str] = mapped_column(String(32))
    timing_kind: Mapped[str] = mapped_column(String(16))
    gpu: Mapped[str]
    seconds: Mapped[float]
    seconds_low: Mapped[float]
    seconds_high: Mapped[float]
    interval_source: Mapped[str]
    created: Mapped[datetime]
    device: Mapped[DeviceRow] = relationship(lazy="joined")


class SubmissionRow(Immutable, Base):
    """`kernelwright.db.submissions.Submission`: an entry that somebody sent in."""

    __tablename__ = "submissions"

    id: Mapped[str] = mapped_column(HASH, primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    author: Mapped[str]
    suite: Mapped[str] = mapped_column(Text, index=True)
    entry: Mapped[dict[str, Any]]
    claimed: Mapped[bool]
    created: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class SubmissionItemRow(Immutable, Base):
    """`kernelwright.db.submissions.SubmissionItem`: what came of judging one kernel of it here."""

    __tablename__ = "submission_items"
    __table_args__ = (
        CheckConstraint("repeat >= 0", name="repeat_from_zero"),
        CheckConstraint("integrity IN ('clean', 'suspect', 'refused')", name="integrity_known"),
    )

    submission_id: Mapped[str] = mapped_column(ForeignKey("submissions.id"), primary_key=True)
    task: Mapped[str] = mapped_column(String(255), primary_key=True)
    repeat: Mapped[int] = mapped_column(primary_key=True)
    evaluation_id: Mapped[str | None] = mapped_column(ForeignKey("evaluations.id"))
    integrity: Mapped[str] = mapped_column(String(16))
    remarks: Mapped[list[Any]]
    created: Mapped[datetime]
