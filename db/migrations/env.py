"""Read by Alembic, on the connection that `kernelwright.db.migrate` hands over; never imported."""

from __future__ import annotations

from alembic import context

from kernelwright.db.migrate import VERSION_TABLE
from kernelwright.db.models import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=connection.dialect.name == "sqlite",  # SQLite can't alter a column: Alembic copies the table
)
context.run_migrations()
