"""Where diagnosis goes: a file in the data folder, and standard error on request. What people read is `render`'s."""

from __future__ import annotations

import logging
import logging.handlers
import sys
import tempfile
from pathlib import Path

__all__ = ["ROOT", "keep_traceback", "set_up"]

ROOT = "kernelwright"
_FORMAT = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
_FILE_BYTES = 2_000_000
"""Size at which the log file is turned over: a run writes a few kilobytes, so this is months of use."""


def set_up(log_file: Path, level: str, *, verbose: bool = False) -> None:
    """Sends messages of `level` and above to `log_file`, and with `verbose` all of them to standard error.

    A log file that can't be written is no reason to stop: standard error is told once.
    """
    logger = logging.getLogger(ROOT)
    close(logger)
    logger.propagate = False
    logger.setLevel(logging.DEBUG if verbose else level.upper())
    if verbose:
        stderr = logging.StreamHandler(sys.stderr)
        stderr.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        logger.addHandler(stderr)
    try:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        file = logging.handlers.RotatingFileHandler(log_file, maxBytes=_FILE_BYTES, backupCount=2, encoding="utf-8")
    except OSError as error:
        if not verbose:
            logger.addHandler(logging.StreamHandler(sys.stderr))
        logger.warning("no log file: %s", error)
        return
    file.setLevel(level.upper())
    file.setFormatter(logging.Formatter(_FORMAT))
    logger.addHandler(file)


def close(logger: logging.Logger) -> None:
    """Takes away and closes the handlers of `logger`."""
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()


def keep_traceback(error: BaseException) -> Path | None:
    """Writes the traceback of an unexpected error to the log file and returns its path.

    Before `set_up`, or without a writable log file, it goes to a new file in the temporary folder; None if even that
    can't be written.
    """
    logger = logging.getLogger(ROOT)
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            logger.error("unexpected error", exc_info=error)
            return Path(handler.baseFilename)
    try:
        with tempfile.NamedTemporaryFile("w", prefix="kernelwright-", suffix=".log", delete=False) as file:
            path = Path(file.name)
    except OSError:
        return None
    fallback = logging.FileHandler(path, encoding="utf-8")
    fallback.setFormatter(logging.Formatter(_FORMAT))
    fallback.emit(
        logger.makeRecord(ROOT, logging.ERROR, "", 0, "unexpected error", (), (type(error), error, error.__traceback__))
    )
    fallback.close()
    return path
