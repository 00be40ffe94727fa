"""Where builds are kept between runs, and how: whole files, written atomically, the ones used longest ago removed first."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["CACHE_BYTES", "cache_folder", "cache_root", "cached", "locked", "store_atomically", "trim_cache"]

log = logging.getLogger(__name__)

CACHE_BYTES = 256 * 2**20
"""Upper size of one cache folder in bytes; the entries used longest ago go first."""


def cache_root() -> Path:
    """`$KERNELWRIGHT_CACHE`, else `kernelwright` in the platform's cache folder. Not created here."""
    if named := os.environ.get("KERNELWRIGHT_CACHE"):
        return Path(named)
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "kernelwright"


def cache_folder(kind: str) -> Path:
    """The folder of one kind of build in `cache_root()`. Not created here."""
    return cache_root() / kind


def cached(path: Path) -> Path:
    """Where to read an entry of this process's cache: there, or in the cache beneath it.

    A worker that runs code we do not trust writes to a cache of its own, which ends with it, and reads the shared one
    that `$KERNELWRIGHT_CACHE_BENEATH` names. So nothing that it writes is ever loaded by another process.
    """
    beneath = os.environ.get("KERNELWRIGHT_CACHE_BENEATH")
    if not beneath or path.exists() or not path.is_relative_to(cache_root()):
        return path
    other = Path(beneath) / path.relative_to(cache_root())
    return other if other.exists() else path


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time, for a build that takes long: who comes second finds it made.

    Raises:
        OSError: the lock, an empty file, can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def store_atomically(path: Path, data: bytes) -> None:
    """Writes beside `path` and renames, so that a reader sees the whole file or none.

    A folder that can't be written is no error: the cache is then simply not kept.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(temporary, path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        log.warning("the cache entry %s could not be written: %s", path, error)


def trim_cache(folder: Path, limit: int = CACHE_BYTES) -> None:
    """Removes the files used longest ago until `folder` holds at most `limit` bytes."""
    entries = []
    try:
        with os.scandir(folder) as found:
            for entry in found:
                with contextlib.suppress(FileNotFoundError):  # another process trims as well
                    if entry.is_file():
                        status = entry.stat()
                        entries.append((max(status.st_atime, status.st_mtime), status.st_size, entry.path))
    except OSError:
        return
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= limit:
            return
        try:
            os.unlink(path)
        except OSError:
            continue
        total -= size
