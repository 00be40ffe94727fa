"""The archive that evolution draws from. Entries and draws are append-only; elites and islands are counted from them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_IMMUTABLE = ("archive_entries", "archive_draws", "archive_draw_parents")
_ALL = ("archive_draw_parents", "archive_draws", "archive_islands", "archive_elites", "archive_entries", "archives")


def upgrade() -> None:
    """Makes the tables, their indexes and their triggers."""
    op.create_table(
        "archives",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("task_id", sa.String(length=16), nullable=False),
        sa.Column("gpu", sa.Text(), nullable=False),
        sa.Column("timing_kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("settings", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("baseline_seconds", sa.Double(), nullable=True),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.CheckConstraint("timing_kind IN ('measured', 'modelled')", name=op.f("ck_archives_timing_kind_known")),
        sa.CheckConstraint("baseline_seconds > 0", name=op.f("ck_archives_baseline_positive")),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_archives_task_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_archives")),
        sa.UniqueConstraint(
            "task_id", "gpu", "timing_kind", "name", name=op.f("uq_archives_task_id_gpu_timing_kind_name")
        ),
    )
    op.create_table(
        "archive_entries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("archive_id", sa.String(length=16), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kernel_id", sa.String(length=16), nullable=False),
        sa.Column("island", sa.Integer(), nullable=False),
        sa.Column("operator", sa.String(length=16), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("gain", sa.Double(), nullable=False),
        sa.Column("cell", sa.String(length=64), nullable=True),
        sa.Column("features", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("nearness", sa.Double(), nullable=True),
        sa.Column("source_hash", sa.String(length=16), nullable=False),
        sa.Column("code_hash", sa.String(length=16), nullable=False),
        sa.Column("sketch", sa.LargeBinary(), nullable=True),
        sa.Column("duplicate_of", sa.Integer(), nullable=True),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.CheckConstraint("(seconds IS NULL) = (cell IS NULL)", name=op.f("ck_archive_entries_only_passed_has_cell")),
        sa.CheckConstraint("seconds > 0", name=op.f("ck_archive_entries_seconds_positive")),
        sa.CheckConstraint("island >= 0 AND generation >= 0", name=op.f("ck_archive_entries_counts_from_zero")),
        sa.ForeignKeyConstraint(["archive_id"], ["archives.id"], name=op.f("fk_archive_entries_archive_id")),
        sa.ForeignKeyConstraint(["kernel_id"], ["kernels.id"], name=op.f("fk_archive_entries_kernel_id")),
        sa.ForeignKeyConstraint(["duplicate_of"], ["archive_entries.id"], name=op.f("fk_archive_entries_duplicate_of")),
        sa.ForeignKeyConstraint(
            ["run_id", "number"], ["attempts.run_id", "attempts.number"], name=op.f("fk_archive_entries_run_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_archive_entries")),
        sa.UniqueConstraint("archive_id", "run_id", "number", name=op.f("uq_archive_entries_archive_id_run_id_number")),
    )
    for columns in (
        ["archive_id", "id"],
        ["archive_id", "source_hash"],
        ["archive_id", "code_hash"],
        ["archive_id", "cell", "seconds"],
        ["archive_id", "island", "seconds"],
        ["archive_id", "island", "nearness"],
    ):
        op.create_index(op.f(f"ix_archive_entries_{'_'.join(columns)}"), "archive_entries", columns)
    op.create_table(
        "archive_elites",
        sa.Column("archive_id", sa.String(length=16), nullable=False),
        sa.Column("island", sa.Integer(), nullable=False),
        sa.Column("cell", sa.String(length=64), nullable=False),
        sa.Column("entry_id", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("offspring", sa.Integer(), nullable=False),
        sa.CheckConstraint("offspring >= 0", name=op.f("ck_archive_elites_offspring_from_zero")),
        sa.ForeignKeyConstraint(["archive_id"], ["archives.id"], name=op.f("fk_archive_elites_archive_id")),
        sa.ForeignKeyConstraint(["entry_id"], ["archive_entries.id"], name=op.f("fk_archive_elites_entry_id")),
        sa.PrimaryKeyConstraint("archive_id", "island", "cell", name=op.f("pk_archive_elites")),
    )
    op.create_index(op.f("ix_archive_elites_entry_id"), "archive_elites", ["entry_id"])
    op.create_table(
        "archive_islands",
        sa.Column("archive_id", sa.String(length=16), nullable=False),
        sa.Column("island", sa.Integer(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("passed", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("best_seconds", sa.Double(), nullable=True),
        sa.Column("epoch_seconds", sa.Double(), nullable=True),
        sa.Column("since_gain", sa.Integer(), nullable=False),
        sa.Column("migrated_at", sa.Integer(), nullable=False),
        sa.Column("restarts", sa.Integer(), nullable=False),
        sa.Column("since_entry", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["archive_id"], ["archives.id"], name=op.f("fk_archive_islands_archive_id")),
        sa.PrimaryKeyConstraint("archive_id", "island", name=op.f("pk_archive_islands")),
    )
    op.create_table(
        "archive_draws",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("archive_id", sa.String(length=16), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("island", sa.Integer(), nullable=False),
        sa.Column("operator", sa.String(length=16), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("notes", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.CheckConstraint("number >= 1 AND island >= 0", name=op.f("ck_archive_draws_place_in_range")),
        sa.ForeignKeyConstraint(["archive_id"], ["archives.id"], name=op.f("fk_archive_draws_archive_id")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_archive_draws_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_archive_draws")),
        sa.UniqueConstraint("run_id", "number", "archive_id", name=op.f("uq_archive_draws_run_id_number_archive_id")),
    )
    op.create_index(op.f("ix_archive_draws_archive_id"), "archive_draws", ["archive_id"])
    op.create_table(
        "archive_draw_parents",
        sa.Column("draw_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("entry_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["draw_id"], ["archive_draws.id"], name=op.f("fk_archive_draw_parents_draw_id")),
        sa.ForeignKeyConstraint(["entry_id"], ["archive_entries.id"], name=op.f("fk_archive_draw_parents_entry_id")),
        sa.PrimaryKeyConstraint("draw_id", "position", name=op.f("pk_archive_draw_parents")),
    )
    op.create_index(op.f("ix_archive_draw_parents_entry_id"), "archive_draw_parents", ["entry_id"])
    dialect = op.get_bind().dialect.name
    for table in _IMMUTABLE:
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


def downgrade() -> None:
    """Drops the tables, with all that is stored in them."""
    for table in _ALL:
        op.drop_table(table)
