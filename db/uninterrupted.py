"""Keeping Ctrl-C out of the database's code."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["uninterrupted"]


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Holds SIGINT and SIGTERM back until the block has ended, then delivers them to the handlers they are for.

    Seen when stopping searches at random moments: a KeyboardInterrupt between a BEGIN and the code that would roll it
    back leaves a connection that holds the write lock, and the next write hangs for the 30 s of the busy timeout; one
    in SQLAlchemy's first look at the models leaves them unusable. The calls take milliseconds. Only the main
    thread runs handlers, so elsewhere this does nothing; a signal without a handler ends the process as ever, and
    SQLite rolls back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    callables = {number: handler for number, handler in handlers.items() if callable(handler)}
    try:
        for number in callables:
            signal.signal(number, lambda caught, frame: held.append((caught, frame)))
        yield
    finally:
        for number, handler in callables.items():
            signal.signal(number, handler)
        for caught, frame in held:
            callables[signal.Signals(caught)](caught, frame)
