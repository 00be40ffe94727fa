"""Entries that were sent in, and what came of judging each kernel of them here. Append-only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables, their indexes and their triggers."""
    op.create_table(
        "submissions",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("suite", sa.Text(), nullable=False),
        sa.Column("entry", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("claimed", sa.Boolean(), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submissions")),
    )
    op.create_index(op.f("ix_submissions_created"), "submissions", ["created"])
    op.create_index(op.f("ix_submissions_suite"), "submissions", ["suite"])
    op.create_table(
        "submission_items",
        sa.Column("submission_id", sa.String(length=16), nullable=False),
        sa.Column("task", sa.String(length=255), nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False),
        sa.Column("evaluation_id", sa.String(length=16), nullable=True),
        sa.Column("integrity", sa.String(length=16), nullable=False),
        sa.Column("remarks", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.CheckConstraint("repeat >= 0", name=op.f("ck_submission_items_repeat_from_zero")),
        sa.CheckConstraint(
            "integrity IN ('clean', 'suspect', 'refused')", name=op.f("ck_submission_items_integrity_known")
        ),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluations.id"], name=op.f("fk_submission_items_evaluation_id")),
        sa.ForeignKeyConstraint(["submission_id"], ["submissions.id"], name=op.f("fk_submission_items_submission_id")),
        sa.PrimaryKeyConstraint("submission_id", "task", "repeat", name=op.f("pk_submission_items")),
    )
    dialect = op.get_bind().dialect.name
    for table in ("submissions", "submission_items"):
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
    for table in ("submission_items", "submissions"):
        op.drop_table(table)
