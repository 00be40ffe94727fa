"""Calls of language models: what was asked, what came, what it cost. Append-only, as all but `runs`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the table, its indexes and its triggers."""
    op.create_table(
        "model_calls",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("request", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("reply", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_read_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_write_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger(), nullable=False),
        sa.Column("dollars", sa.Text(), nullable=False),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.CheckConstraint("attempt >= 1 AND turn >= 0", name=op.f("ck_model_calls_place_in_range")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_model_calls_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_calls")),
    )
    op.create_index(op.f("ix_model_calls_run_id"), "model_calls", ["run_id"])
    op.create_index(
        "ux_model_calls_answered",
        "model_calls",
        ["run_id", "attempt", "role", "turn"],
        unique=True,
        sqlite_where=sa.text("reply IS NOT NULL"),
        postgresql_where=sa.text("reply IS NOT NULL"),
    )
    dialect = op.get_bind().dialect.name
    for change in ("UPDATE", "DELETE"):
        name = f"model_calls_no_{change.lower()}"
        if dialect == "sqlite":
            op.execute(
                f"CREATE TRIGGER {name} BEFORE {change} ON model_calls "
                "BEGIN SELECT RAISE(ABORT, 'model_calls are immutable'); END"
            )
        elif dialect == "postgresql":
            op.execute(
                f"CREATE TRIGGER {name} BEFORE {change} ON model_calls "
                "FOR EACH ROW EXECUTE FUNCTION kernelwright_refuse()"
            )


def downgrade() -> None:
    """Drops the table, with all that is stored in it."""
    op.drop_table("model_calls")
