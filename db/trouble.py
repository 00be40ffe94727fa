"""What went wrong in the database, as one sentence for people: every driver error leaves here as a `StoreError`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from kernelwright.errors import StoreError

__all__ = ["translated"]

_SQLITE: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_FULL: (
        "has no room left on its disk",
        "Free some space and do it again; what was stored before is still there.",
    ),
    sqlite3.SQLITE_READONLY: ("can't be written", "Make the file and its folder writable, or choose another database."),
    sqlite3.SQLITE_PERM: ("can't be written", "Make the file and its folder writable, or choose another database."),
    sqlite3.SQLITE_BUSY: (
        "is kept locked by another process",
        "Wait for that process to end and do it again; nothing was lost.",
    ),
    sqlite3.SQLITE_LOCKED: (
        "is kept locked by another process",
        "Wait for that process to end and do it again; nothing was lost.",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "is damaged",
        "Move the file aside and start a new one, or bring it back from a backup; "
        "`sqlite3 FILE .recover` saves what can be read.",
    ),
    sqlite3.SQLITE_NOTADB: ("is no SQLite database", "Name another file, or move this one aside to start a new one."),
    sqlite3.SQLITE_CANTOPEN: (
        "can't be opened",
        "Check that it is a file, that its folder exists and that you may write there.",
    ),
    sqlite3.SQLITE_IOERR: ("could not be read or written", "Check the disk, and do it again."),
}
"""Primary result codes of SQLite, https://www.sqlite.org/rescode.html, to what we say and what helps."""

_IMMUTABLE = "immutable"
"""The word that the triggers of the first migration say."""


def _sentence(error: SQLAlchemyError | sqlite3.Error, place: str) -> StoreError:
    original = error.orig if isinstance(error, DBAPIError) else error if isinstance(error, sqlite3.Error) else None
    code = getattr(original, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in _SQLITE:  # the low byte is the primary code, the rest says more
        found, mend = _SQLITE[code & 0xFF]
        return StoreError(f"The database {place} {found} ({original}).", mend=mend)
    first = (str(original or error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    if original is not None and _IMMUTABLE in first:
        return StoreError(f"The database {place} refused a change: {first}.")
    return StoreError(f"The database {place} could not do it: {first}.", mend="`--debug` shows the whole error.")


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Turns database errors inside into `StoreError`; `place` is the path or URL that the sentence names."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise _sentence(error, place) from error
