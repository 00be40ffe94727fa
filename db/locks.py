"""One at a time, over all processes that share a store: a lock that is let go of however its holder ends.

Beside a SQLite file locks are files (`flock`): the kernel lets go of one when the last process that has its descriptor is gone. On
PostgreSQL they are advisory locks of a connection that is kept for them.
"""

from __future__ import annotations

import fcntl
import glob
import hashlib
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from kernelwright.db.engine import place_of
from kernelwright.db.trouble import translated
from kernelwright.errors import StoreError

__all__ = ["Held", "Locks"]

_LOOK_SECONDS = 0.1


@dataclass
class Held:
    """A lock that is held, until `release` or the end of the process; a context manager."""

    name: str
    descriptor: int | None = None
    """Of the lock's file: a child that inherits it holds the lock too. None on a server."""
    _connection: Connection | None = None

    def release(self) -> None:
        """Lets go; more than once does no more."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None
        if self._connection is not None:
            self._connection.invalidate()  # the session ends, and its locks with it
            self._connection.close()
            self._connection = None

    def lost(self) -> bool:
        """Whether the server has ended the session that held it."""
        if self._connection is None:
            return False
        try:
            self._connection.execute(text("SELECT 1"))
            self._connection.commit()
        except DBAPIError:
            return True
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Locks:
    """The locks of a store.

    Args:
        folder: where lock files lie; None on a server.
    """

    def __init__(self, engine: Engine, folder: Path | None) -> None:
        self._engine, self._folder = engine, folder

    def take(self, name: str, *, patience: float = 0.0) -> Held | None:
        """Takes the lock of this name; None if another process holds it and does not let go within `patience` seconds.

        Raises:
            StoreError: the store is in memory, or a file can't be made.
        """
        end = time.monotonic() + patience
        while True:
            held = self._try(name)
            if held is not None or time.monotonic() >= end:
                return held
            time.sleep(_LOOK_SECONDS)

    def held_of(self, beginning: str, known: Iterable[str]) -> list[str]:
        """Names of locks that somebody holds now.

        Args:
            beginning: of their names. On a server names can't be listed, so only `known` ones are looked at there.
            known: names that there may be.
        """
        if self._engine.dialect.name == "postgresql":
            return [name for name in known if self._is_held(name)]
        if self._folder is None or not self._folder.is_dir():
            return []
        return sorted(path.stem for path in self._folder.glob(f"{glob.escape(beginning)}*.lock") if _is_locked(path))

    def _is_held(self, name: str) -> bool:
        held = self._try_server(name)
        if held is not None:
            held.release()
        return held is None

    def count(self, kind: str) -> int:
        """How many locks of this kind are held, by whatever process. A lock's kind is its name up to the first `-`.

        Raises:
            StoreError: the server does not answer.
        """
        if self._engine.dialect.name == "postgresql":
            with translated(place_of(self._engine)), self._engine.connect() as connection:
                return connection.execute(_HELD, {"kind": _half(f"{kind}-")}).scalar() or 0
        return len(self.held_of(f"{kind}-", ()))

    def _try(self, name: str) -> Held | None:
        if self._engine.dialect.name == "postgresql":
            return self._try_server(name)
        if self._folder is None:
            raise StoreError("A store in memory has no locks: no other process can see it.", mend="Name a file.")
        # an id is a file name already; anything else is made one that no other name has
        safe = name if re.fullmatch(r"[\w.~-]{1,120}", name) else hashlib.sha256(name.encode()).hexdigest()
        path = self._folder / f"{safe}.lock"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreError(f"The lock {path} can't be made ({error.strerror}).") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return Held(name, descriptor)

    def _try_server(self, name: str) -> Held | None:
        kind, dash, _ = name.partition("-")
        number = _half(f"{kind}{dash}") << 32 | _half(name)
        key = number - (1 << 64) if number >> 63 else number  # a signed one
        connection = self._engine.connect()
        try:
            got = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}).scalar()
            connection.commit()
        except BaseException:
            connection.close()
            raise
        if not got:
            connection.close()
            return None
        return Held(name, None, connection)


_HELD = text(
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND classid = CAST(:kind AS bigint)"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def _half(name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"kernelwright {name}".encode()).digest()[:4], "big")


def _is_locked(path: Path) -> bool:
    """Whether a process holds it. It is shared for that moment: who takes it just then is told that it is not free."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
