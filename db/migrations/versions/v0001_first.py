"""The first schema: tasks, kernels, devices, evaluations, runs, attempts, and the triggers that keep them as written.

Timestamps are UTC, times are seconds.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_APPEND_ONLY = ("tasks", "task_attachments", "kernels", "kernel_parents", "devices", "evaluations", "attempts")


def upgrade() -> None:
    """Makes everything."""
    _make_tables()
    _make_triggers()


def downgrade() -> None:
    """Drops everything, with all that is stored."""
    for table in (
        "attempts",
        "runs",
        "evaluations",
        "devices",
        "kernel_parents",
        "kernels",
        "task_attachments",
        "tasks",
    ):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION kernelwright_refuse()")


def _make_triggers() -> None:
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        op.execute(
            "CREATE FUNCTION kernelwright_refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION '% are immutable', TG_TABLE_NAME; END $$"
        )
    for table in _APPEND_ONLY:
        for change in ("UPDATE", "DELETE"):
            name = f"{table}_no_{change.lower()}"
            if dialect == "sqlite":
                op.execute(
                    f"CREATE TRIGGER {name} BEFORE {change} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} are immutable'); END"
                )
            elif dialect == "postgresql":
                op.execute(
                    f"CREATE TRIGGER {name} BEFORE {change} ON {table} "
                    "FOR EACH ROW EXECUTE FUNCTION kernelwright_refuse()"
                )


def _make_tables() -> None:
    op.create_table(
        "devices",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("gpu", sa.Text(), nullable=False),
        sa.Column("arch", sa.String(length=16), nullable=False),
        sa.Column("isolation", sa.String(length=16), nullable=False),
        sa.Column("versions", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_devices")),
    )
    op.create_index(op.f("ix_devices_gpu"), "devices", ["gpu"])
    op.create_table(
        "kernels",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("parameters", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_kernels")),
    )
    op.create_index(op.f("ix_kernels_author"), "kernels", ["author"])
    op.create_table(
        "tasks",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("format", sa.String(length=32), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("workloads", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("policy", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
    )
    op.create_table(
        "evaluations",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("task_id", sa.String(length=16), nullable=False),
        sa.Column("kernel_id", sa.String(length=16), nullable=False),
        sa.Column("device_id", sa.String(length=16), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("stages", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("timing", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("timing_kind", sa.String(length=16), nullable=True),
        sa.Column("gpu", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("baseline_seconds", sa.Double(), nullable=True),
        sa.Column("speedup", sa.Double(), nullable=True),
        sa.Column("profile", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("seeds", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("wall_seconds", sa.Double(), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.CheckConstraint(
            "(verdict = 'passed') = (timing_kind IS NOT NULL)", name=op.f("ck_evaluations_only_passed_is_timed")
        ),
        sa.CheckConstraint("seconds > 0 AND baseline_seconds > 0", name=op.f("ck_evaluations_times_positive")),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name=op.f("fk_evaluations_device_id")),
        sa.ForeignKeyConstraint(["kernel_id"], ["kernels.id"], name=op.f("fk_evaluations_kernel_id")),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_evaluations_task_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluations")),
    )
    op.create_index(op.f("ix_evaluations_created"), "evaluations", ["created"])
    op.create_index(op.f("ix_evaluations_device_id"), "evaluations", ["device_id"])
    op.create_index(op.f("ix_evaluations_kernel_id"), "evaluations", ["kernel_id"])
    op.create_index(op.f("ix_evaluations_speedup"), "evaluations", ["speedup"])
    op.create_index(
        op.f("ix_evaluations_task_id_timing_kind_gpu_seconds"),
        "evaluations",
        ["task_id", "timing_kind", "gpu", "seconds"],
    )
    op.create_index(op.f("ix_evaluations_verdict"), "evaluations", ["verdict"])
    op.create_table(
        "kernel_parents",
        sa.Column("kernel_id", sa.String(length=16), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("parent_id", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["kernel_id"], ["kernels.id"], name=op.f("fk_kernel_parents_kernel_id")),
        sa.PrimaryKeyConstraint("kernel_id", "position", name=op.f("pk_kernel_parents")),
    )
    op.create_index(op.f("ix_kernel_parents_parent_id"), "kernel_parents", ["parent_id"])
    op.create_table(
        "runs",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("task_id", sa.String(length=16), nullable=False),
        sa.Column("task_name", sa.Text(), nullable=False),
        sa.Column("task_path", sa.Text(), nullable=True),
        sa.Column("strategy", sa.String(length=32), nullable=False),
        sa.Column("coder", sa.Text(), nullable=False),
        sa.Column("judge", sa.Text(), nullable=False),
        sa.Column("device", sa.String(length=16), nullable=False),
        sa.Column("gpu", sa.Text(), nullable=False),
        sa.Column("rounds", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("settings", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.Column("updated", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_runs_task_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_index(op.f("ix_runs_created"), "runs", ["created"])
    op.create_index(op.f("ix_runs_status"), "runs", ["status"])
    op.create_index(op.f("ix_runs_task_id"), "runs", ["task_id"])
    op.create_index(op.f("ix_runs_task_name"), "runs", ["task_name"])
    op.create_table(
        "task_attachments",
        sa.Column("task_id", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_task_attachments_task_id")),
        sa.PrimaryKeyConstraint("task_id", "name", name=op.f("pk_task_attachments")),
    )
    op.create_table(
        "attempts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("kernel_id", sa.String(length=16), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("parents", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("parameters", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("kernel_path", sa.Text(), nullable=True),
        sa.Column("evaluation_id", sa.String(length=16), nullable=False),
        sa.Column("advice", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("notes", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.CheckConstraint("number >= 1", name=op.f("ck_attempts_number_from_one")),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluations.id"], name=op.f("fk_attempts_evaluation_id")),
        sa.ForeignKeyConstraint(["kernel_id"], ["kernels.id"], name=op.f("fk_attempts_kernel_id")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_attempts_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        sa.UniqueConstraint("run_id", "number", name=op.f("uq_attempts_run_id_number")),
    )
    op.create_index(op.f("ix_attempts_evaluation_id"), "attempts", ["evaluation_id"])
    op.create_index(op.f("ix_attempts_kernel_id"), "attempts", ["kernel_id"])
