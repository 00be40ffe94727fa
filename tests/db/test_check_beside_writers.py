"""Checking an archive while others write to it: it is looked at as it was at one moment, on SQLite and on PostgreSQL."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from archive_doubles import an_archive, attempt
from sqlalchemy import event

from kernelwright.db.store import Store

_TOOLS = {name: shutil.which(name) for name in ("initdb", "postgres")}


@contextmanager
def _postgresql() -> Iterator[str]:
    """A server of its own, reached by a socket in its folder; the URL of its database."""
    if None in _TOOLS.values() or importlib.util.find_spec("psycopg") is None:
        pytest.skip("no PostgreSQL here")
    user = "nobody" if os.geteuid() == 0 else None  # it does not run as root
    with tempfile.TemporaryDirectory() as place:
        if user is not None:
            shutil.chown(place, user)
        data = Path(place) / "data"

        def start(name: str, *arguments: object) -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                [str(_TOOLS[name]), *map(str, arguments)], user=user, cwd=place, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )  # fmt: skip

        made = start("initdb", "-D", data, "-U", "owner", "--auth=trust", "--no-sync", "--encoding=UTF8")
        _, said = made.communicate()
        assert made.returncode == 0, said
        with start("postgres", "-D", data, "-k", place, "-c", "listen_addresses=", "-c", "fsync=off") as server:
            assert server.stderr is not None
            while b"ready to accept" not in (line := server.stderr.readline()):
                assert line, "it did not start"
            try:
                yield f"postgresql+psycopg://owner@/postgres?host={place}"
            finally:
                server.terminate()
                server.communicate()


@contextmanager
def _sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as place:
        yield str(Path(place) / "k.db")


@pytest.mark.parametrize("database", [_sqlite, _postgresql])
def test_what_is_written_meanwhile_is_no_difference(database: Any) -> None:
    with database() as place, Store(place) as store, Store(place) as other:
        archive, beside = an_archive(store, islands=1), an_archive(other, islands=1)
        made = [attempt(number, 1e-5 / number, registers=24 + 40 * number) for number in (1, 2, 3)]
        store.add_attempt(made[0])
        archive.absorb(made[:1])
        left = made[1:]

        @event.listens_for(store._engine, "after_cursor_execute")
        def write(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if left and "archive_" in statement:
                one = left.pop()
                other.add_attempt(one)
                beside.absorb([one])

        assert archive.problems() == []
        assert not left
        assert archive.problems() == []
        assert archive.standing(0).passed == 3
