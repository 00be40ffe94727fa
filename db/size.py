"""How much a store holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from kernelwright.db.models import EvaluationRow, KernelRow, RunRow, TaskRow

__all__ = ["StoreSize", "store_size"]


@dataclass(frozen=True)
class StoreSize:
    """Rows, and bytes on disk."""

    engine: str
    """`SQLite 3.40` or `PostgreSQL 15.4`."""
    bytes: int | None
    """With indexes; None where it is in memory."""
    tasks: int
    kernels: int
    evaluations: int
    runs: int


def store_size(session: Session, file: Path | None) -> StoreSize:
    """Counts the rows, which takes some 0.1 s for a million."""
    counts = [
        session.scalar(select(func.count()).select_from(row)) or 0
        for row in (TaskRow, KernelRow, EvaluationRow, RunRow)
    ]
    dialect = session.get_bind().dialect
    if dialect.name == "postgresql":
        version = str(session.scalar(text("SHOW server_version"))).split()[0]
        size = session.scalar(text("SELECT pg_database_size(current_database())"))
        return StoreSize(f"PostgreSQL {version}", size, *counts)
    version = str(session.scalar(text("SELECT sqlite_version()")))
    parts = [] if file is None else [file, file.with_name(f"{file.name}-wal")]
    size = sum(part.stat().st_size for part in parts if part.exists()) if parts else None
    return StoreSize(f"SQLite {version}", size, *counts)
