"""Alembic's environment; `kernelwright.db.migrate` runs it."""
