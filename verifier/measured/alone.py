"""One measurement at a time on a GPU: searches side by side wait here for one another, and share everything else."""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["alone_on"]

_log = logging.getLogger(__name__)


@contextmanager
def alone_on(index: int, folder: Path | None = None) -> Iterator[None]:
    """Waits until no other process of ours on this machine measures on the GPU of this number, and keeps others out inside.

    The kernel lets go of it when the process ends, however it does. Where the file can't be made nothing is kept out.

    Args:
        folder: where the lock's file lies; the temporary folder by default, which all of a user's processes share.
    """
    path = (folder or Path(tempfile.gettempdir())) / f"kernelwright-gpu{index}.{os.getuid()}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        _log.warning("other measurements on GPU %d are not kept out: %s", index, error)
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
