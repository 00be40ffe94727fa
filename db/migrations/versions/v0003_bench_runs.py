"""Suites that were run, the tasks of each with where they stand, and times of baselines. Baselines are append-only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables, their indexes and the triggers of `baselines`."""
    op.create_table(
        "bench_runs",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("suite", sa.Text(), nullable=False),
        sa.Column("suite_path", sa.Text(), nullable=True),
        sa.Column("digest", sa.String(length=16), nullable=False),
        sa.Column("suite_size", sa.Integer(), nullable=False),
        sa.Column("scale", sa.String(length=16), nullable=False),
        sa.Column("strategy", sa.String(length=32), nullable=False),
        sa.Column("coder", sa.Text(), nullable=False),
        sa.Column("judge", sa.Text(), nullable=False),
        sa.Column("rounds", sa.Integer(), nullable=False),
        sa.Column("repeats", sa.Integer(), nullable=False),
        sa.Column("device", sa.String(length=16), nullable=False),
        sa.Column("gpu", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("settings", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("environment", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.Column("updated", sa.DateTime(), nullable=False),
        sa.CheckConstraint("repeats >= 1 AND rounds >= 1", name=op.f("ck_bench_runs_counts_from_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bench_runs")),
    )
    op.create_index(op.f("ix_bench_runs_created"), "bench_runs", ["created"])
    op.create_index(op.f("ix_bench_runs_suite"), "bench_runs", ["suite"])
    op.create_table(
        "bench_items",
        sa.Column("bench_run_id", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.String(length=16), nullable=False),
        sa.Column("task_name", sa.Text(), nullable=False),
        sa.Column("task_path", sa.Text(), nullable=True),
        sa.Column("run_id", sa.String(length=64), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("starts", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("updated", sa.DateTime(), nullable=False),
        sa.CheckConstraint("repeat >= 0 AND starts >= 0 AND seconds >= 0", name=op.f("ck_bench_items_counts_in_range")),
        sa.ForeignKeyConstraint(["bench_run_id"], ["bench_runs.id"], name=op.f("fk_bench_items_bench_run_id")),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_bench_items_task_id")),
        sa.PrimaryKeyConstraint("bench_run_id", "position", name=op.f("pk_bench_items")),
        sa.UniqueConstraint("bench_run_id", "name", "repeat", name=op.f("uq_bench_items_bench_run_id_name_repeat")),
        sa.UniqueConstraint("run_id", name=op.f("uq_bench_items_run_id")),
    )
    op.create_index(op.f("ix_bench_items_task_id"), "bench_items", ["task_id"])
    op.create_table(
        "baselines",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.String(length=16), nullable=False),
        sa.Column("device_id", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("timing_kind", sa.String(length=16), nullable=False),
        sa.Column("gpu", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("seconds_low", sa.Double(), nullable=False),
        sa.Column("seconds_high", sa.Double(), nullable=False),
        sa.Column("interval_source", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.CheckConstraint(
            "seconds_low > 0 AND seconds_low <= seconds AND seconds <= seconds_high",
            name=op.f("ck_baselines_times_in_order"),
        ),
        sa.CheckConstraint("timing_kind IN ('measured', 'modelled')", name=op.f("ck_baselines_timing_kind_known")),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name=op.f("fk_baselines_device_id")),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_baselines_task_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_baselines")),
    )
    op.create_index(op.f("ix_baselines_task_id_timing_kind_gpu"), "baselines", ["task_id", "timing_kind", "gpu"])
    dialect = op.get_bind().dialect.name
    for change in ("UPDATE", "DELETE"):
        name = f"baselines_no_{change.lower()}"
        if dialect == "sqlite":
            op.execute(
                f"CREATE TRIGGER {name} BEFORE {change} ON baselines "
                "BEGIN SELECT RAISE(ABORT, 'baselines are immutable'); END"
            )
        elif dialect == "postgresql":
            op.execute(
                f"CREATE TRIGGER {name} BEFORE {change} ON baselines "
                "FOR EACH ROW EXECUTE FUNCTION kernelwright_refuse()"
            )


def downgrade() -> None:
    """Drops the tables, with all that is stored in them."""
    for table in ("baselines", "bench_items", "bench_runs"):
        op.drop_table(table)
