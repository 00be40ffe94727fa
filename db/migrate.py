"""Bringing a database to the schema of this version. Alembic does it; the revisions are in `migrations/versions`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from kernelwright.db.engine import place_of, writing
from kernelwright.db.trouble import translated
from kernelwright.errors import StoreError

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["HEAD", "VERSION_TABLE", "alembic_config", "revision_of", "upgrade"]

HEAD = "0008"
"""The newest revision. Held here so that opening an up-to-date database need not import Alembic (0.2 s)."""

VERSION_TABLE = "kernelwright_schema"
"""Alembic's version table under a name of our own: another program's database is then recognised."""

_KNOWN = frozenset({"0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008"})
_ADVISORY_LOCK = 0x6B77_0001
"""Key of the PostgreSQL lock that lets one process migrate at a time; any constant will do."""


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration for `connection`, with the scripts inside this package."""
    from alembic.config import Config

    config = Config()
    folder = Path(__file__).with_name("migrations")
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def revision_of(connection: Connection) -> str | None:
    """The database's revision, None when it is empty.

    Raises:
        StoreError: it holds tables of another program.
    """
    tables = set(inspect(connection).get_table_names())
    if VERSION_TABLE in tables:
        found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars().all()
        if found:
            return str(found[0])
        tables.discard(VERSION_TABLE)
    if tables:
        raise StoreError(
            f"The database {place_of(connection.engine)} is not one of Kernelwright's: it has the tables "
            f"{', '.join(sorted(tables)[:5])}.",
            mend="Name another file or database, or an empty one.",
        )
    return None


def upgrade(engine: Engine) -> None:
    """Makes or upgrades all tables, in one transaction; does nothing when they are up to date.

    Several processes may do this at once: one migrates, the others wait and find it done.

    Raises:
        StoreError: the database can't be read or written, is another program's, or comes from a newer version.
    """
    with translated(place_of(engine)):
        with engine.connect() as connection:
            if _up_to_date(connection):
                return
        with writing(engine).begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
            if _up_to_date(connection):
                return
            from alembic import command

            command.upgrade(alembic_config(connection), "head")


def _up_to_date(connection: Connection) -> bool:
    revision = revision_of(connection)
    if revision is not None and revision not in _KNOWN:
        raise StoreError(
            f"The database {place_of(connection.engine)} was written by a newer Kernelwright (schema {revision}; "
            f"this version knows up to {HEAD}).",
            mend="Upgrade Kernelwright, or use another database.",
        )
    return revision == HEAD
