"""The catalogue that kernels are found by, filled from what is stored."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kernelwright.db.catalogue_fill import fill_catalogue

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_INDEXES = {
    "order": ["timing_kind", "score", "id", "gpu", "arch", "verdict", "author", "task_id"],
    "gpu": ["timing_kind", "gpu", "score", "id"],
    "verdict": ["timing_kind", "verdict", "score", "id"],
    "task": ["task_id", "timing_kind", "gpu", "score", "id"],
    "new": ["timing_kind", "id"],
    "records": ["task_id", "verdict", "timing_kind", "gpu", "created", "id", "seconds"],
}


def upgrade() -> None:
    """Makes the tables, fills them, then makes their indexes: in this order it takes minutes for a million evaluations."""
    op.create_table(
        "task_traits",
        sa.Column("task_id", sa.String(length=16), nullable=False),
        sa.Column("operations", sa.Text(), nullable=False),
        sa.Column("dtypes", sa.Text(), nullable=False),
        sa.Column("shapes", sa.Text(), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_task_traits_task_id")),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_task_traits")),
    )
    op.create_table(
        "catalogue",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kernel_id", sa.String(length=16), nullable=False),
        sa.Column("task_id", sa.String(length=16), nullable=False),
        sa.Column("gpu", sa.Text(), nullable=False),
        sa.Column("timing_kind", sa.String(length=16), nullable=False),
        sa.Column("evaluation_id", sa.String(length=16), nullable=False),
        sa.Column("arch", sa.String(length=16), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("baseline_seconds", sa.Double(), nullable=True),
        sa.Column("speedup_low", sa.Double(), nullable=True),
        sa.Column("speedup_high", sa.Double(), nullable=True),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("techniques", sa.Text(), nullable=False),
        sa.Column("evaluations", sa.Integer(), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.CheckConstraint("timing_kind IN ('measured', 'modelled')", name=op.f("ck_catalogue_timing_kind_known")),
        sa.CheckConstraint("(seconds IS NULL) = (baseline_seconds IS NULL)", name=op.f("ck_catalogue_times_together")),
        sa.CheckConstraint("verdict <> 'passed' OR seconds > 0", name=op.f("ck_catalogue_passed_is_timed")),
        sa.ForeignKeyConstraint(["kernel_id"], ["kernels.id"], name=op.f("fk_catalogue_kernel_id")),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_catalogue_task_id")),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluations.id"], name=op.f("fk_catalogue_evaluation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalogue")),
        sa.UniqueConstraint(
            "kernel_id", "task_id", "gpu", "timing_kind", name=op.f("uq_catalogue_kernel_id_task_id_gpu_timing_kind")
        ),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "ALTER TABLE catalogue ADD COLUMN terms_vector tsvector NOT NULL "
            "GENERATED ALWAYS AS (array_to_tsvector(string_to_array(terms, ' '))) STORED"
        )
    fill_catalogue(op.get_bind())
    for name, columns in _INDEXES.items():
        op.create_index(f"ix_catalogue_{name}", "catalogue", columns)
    op.create_index(op.f("ix_kernels_created"), "kernels", ["created"])
    op.create_index(op.f("ix_tasks_created"), "tasks", ["created"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE INDEX ix_catalogue_terms ON catalogue USING gin (array_to_tsvector(string_to_array(terms, ' ')))"
        )
    else:
        op.execute(
            "CREATE VIRTUAL TABLE catalogue_fts USING fts5(terms, content='catalogue', content_rowid='id', detail='none', columnsize=0, tokenize='ascii')"
        )
        op.execute("INSERT INTO catalogue_fts(catalogue_fts) VALUES ('rebuild')")
        forget = "INSERT INTO catalogue_fts(catalogue_fts, rowid, terms) VALUES ('delete', old.id, old.terms);"
        learn = "INSERT INTO catalogue_fts(rowid, terms) VALUES (new.id, new.terms);"
        op.execute(f"CREATE TRIGGER catalogue_fts_insert AFTER INSERT ON catalogue BEGIN {learn} END")
        op.execute(f"CREATE TRIGGER catalogue_fts_update AFTER UPDATE OF terms ON catalogue BEGIN {forget} {learn} END")
        op.execute(f"CREATE TRIGGER catalogue_fts_delete AFTER DELETE ON catalogue BEGIN {forget} END")


def downgrade() -> None:
    """Drops them; nothing is lost that could not be made anew."""
    if op.get_bind().dialect.name == "sqlite":
        op.drop_table("catalogue_fts")
    op.drop_table("catalogue")
    op.drop_table("task_traits")
    op.drop_index(op.f("ix_tasks_created"), "tasks")
    op.drop_index(op.f("ix_kernels_created"), "kernels")
