"""One at a time: a run of a suite is worked on by one command and its children, and by nobody else while any of them lives."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kernelwright.errors import ConfigError, MisuseError

__all__ = ["only_one"]

_PATIENCE = 120.0
"""Seconds. A child ends some 10 s after its command at the latest, but on a busy machine it may first have to be imported: seen
to take half a minute at a load of 12 a core."""
_LOOK = 0.1


@contextmanager
def only_one(folder: Path, bench_run_id: str, *, called: str = "", patience: float = _PATIENCE) -> Iterator[int]:
    """Holds the lock of a run of a suite; gives its descriptor, which every child is to inherit.

    The kernel lets go of it when the last process that has the descriptor is gone, however it ended. So who goes on with a run
    whose command was killed waits for that command's children, which end as soon as they see it.

    Args:
        folder: where the lock's file lies.
        called: what is worked on, in words; without it that is the run of a suite.
        patience: seconds to wait for the children of a command that is gone.

    Raises:
        MisuseError: another command works on the run.
        ConfigError: the file can't be made.
    """
    path = folder / f"{bench_run_id}.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ConfigError(f"it can't be opened: {error.strerror}.", path=str(path)) from error
    try:
        _take(descriptor, called or f"bench run {bench_run_id}", patience)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int, called: str, patience: float) -> None:
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace")
            alive = holder.isdigit() and Path(f"/proc/{holder}").exists()
            if alive or time.monotonic() >= end:
                raise MisuseError(
                    f"{called} is being worked on by process {holder or 'unknown'}.",
                    mend="Let it end, or stop it with Ctrl-C first.",
                ) from None
            time.sleep(_LOOK)
        else:
            return
