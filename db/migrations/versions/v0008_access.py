"""Tokens, sessions of browsers, and whose a run is. Not append-only: a token is revoked, a session ends."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "access_tokens",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.Column("expires", sa.DateTime(), nullable=True),
        sa.Column("revoked", sa.DateTime(), nullable=True),
        sa.CheckConstraint("role IN ('read', 'submit', 'admin')", name=op.f("ck_access_tokens_role_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_tokens")),
    )
    op.create_index(
        "ux_access_tokens_name",
        "access_tokens",
        ["name"],
        unique=True,
        sqlite_where=sa.text("revoked IS NULL"),
        postgresql_where=sa.text("revoked IS NULL"),
    )
    op.create_table(
        "access_sessions",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("token_id", sa.String(length=16), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.Column("expires", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["token_id"], ["access_tokens.id"], name=op.f("fk_access_sessions_token_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_sessions")),
    )
    op.create_index(op.f("ix_access_sessions_token_id"), "access_sessions", ["token_id"])
    op.create_index(op.f("ix_access_sessions_expires"), "access_sessions", ["expires"])
    op.create_table(
        "run_owners",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_owners_run_id")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_run_owners")),
    )
    op.create_index(op.f("ix_run_owners_owner"), "run_owners", ["owner"])


def downgrade() -> None:
    """Drops them."""
    for table in ("run_owners", "access_sessions", "access_tokens"):
        op.drop_table(table)
