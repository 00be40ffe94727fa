"""The file where an attempt in progress is kept, so that a killed one goes on after its last finished node."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelwright.errors import StoreError

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

__all__ = ["checkpoints_in", "checkpoints_usable"]

_BUSY_SECONDS = 30.0
"""How long to wait for another process that writes to the same file; each write takes milliseconds."""


@contextmanager
def checkpoints_in(path: Path | None) -> Iterator[BaseCheckpointSaver[Any]]:
    """A LangGraph checkpointer on the SQLite file `path`, or one in memory (nothing outlives the process) for None.

    Raises:
        StoreError: the file can't be opened.
    """
    if path is None:
        from langgraph.checkpoint.memory import InMemorySaver

        yield InMemorySaver()
        return
    from langgraph.checkpoint.sqlite import SqliteSaver

    with checkpoints_usable(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"The folder of the checkpoints {path} can't be made ({error.strerror}).") from error
        # LangGraph may write from a thread of its own, and guards the connection with a lock.
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, check_same_thread=False)
    with closing(connection):
        with checkpoints_usable(path):
            saver = SqliteSaver(connection)
            saver.setup()
        yield saver


@contextmanager
def checkpoints_usable(path: Path | None) -> Iterator[None]:
    """Turns SQLite's errors inside into a `StoreError` about the checkpoint file."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(
            f"The checkpoints {path} of attempts in progress can't be read or written ({error}).",
            mend="Check the disk's free space, or delete the file: finished attempts are in the database, and only the "
            "attempt in progress begins anew.",
        ) from error
