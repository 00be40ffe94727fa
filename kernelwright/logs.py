"""Where diagnosis goes: a file in the data folder, and standard error on request. What people read is `render`'s."""

from __future__ import annotations

import json
import logging
import logging.handlers
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["ACCESS", "ROOT", "keep_traceback", "set_up", "set_up_access"]

ROOT = "kernelwright"
ACCESS = f"{ROOT}.access"
"""The logger of the server's requests; a record has `fields`, what is to be said."""
_FORMAT = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
_FILE_BYTES = 2_000_000
"""Size at which the log file is turned over: a run writes a few kilobytes, so this is months of use."""
_ACCESS_BYTES = 20_000_000
"""The same for requests, some 250 bytes each; the last four such files are kept."""
_ESCAPED = {code: repr(chr(code))[1:-1] for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}
"""Characters with which a name could begin a line of its own in a log, or command a terminal."""


class _Text(logging.Formatter):
    """Lines for people: one a message, whatever names are in it; a traceback follows in its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line."""
        record.message = record.message.translate(_ESCAPED)
        return super().formatMessage(record)


class _Json(logging.Formatter):
    """One JSON object a line, in ASCII, so that nothing in it can end the line or command a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = getattr(record, "fields", None)
        if fields is not None:
            return json.dumps({"time": moment, **fields})
        said = {"time": moment, "level": record.levelname, "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return json.dumps(said)


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
        stderr.setFormatter(_Text("%(levelname)s %(name)s: %(message)s"))
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
    file.setFormatter(_Text(_FORMAT))
    logger.addHandler(file)


def set_up_access(file: Path, *, stderr: bool = False) -> None:
    """Sends a line of JSON for each request to `file`, and with `stderr` it and all our messages to standard error too, as JSON."""
    access, root = logging.getLogger(ACCESS), logging.getLogger(ROOT)
    close(access)
    access.propagate = False
    access.setLevel(logging.INFO)
    if stderr:
        shown = logging.StreamHandler(sys.stderr)
        shown.setFormatter(_Json())
        access.addHandler(shown)
        for handler in list(root.handlers):
            if type(handler) is logging.StreamHandler:  # what `verbose` had put there
                root.removeHandler(handler)
        root.addHandler(shown)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        kept = logging.handlers.RotatingFileHandler(file, maxBytes=_ACCESS_BYTES, backupCount=4, encoding="utf-8")
    except OSError as error:
        root.warning("no access log: %s", error)
        return
    kept.setFormatter(_Json())
    access.addHandler(kept)


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
    fallback.setFormatter(_Text(_FORMAT))
    fallback.emit(
        logger.makeRecord(ROOT, logging.ERROR, "", 0, "unexpected error", (), (type(error), error, error.__traceback__))
    )
    fallback.close()
    return path
