"""The parent's end of an item's process.

Each item has a process of its own, a plain one, and not a place in a pool of `concurrent.futures`: there one child that is
killed breaks the pool, and with it the work of all the others. What it costs is an import of torch an item, 1.4 s.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import kernelwright

__all__ = ["WORKER", "Child"]

WORKER = ("-P", "-m", "kernelwright.bench.worker")
"""What the interpreter is started with."""

_CHUNK = 1 << 16
_SAID = 500  # characters of the end of standard error that are told


class Child:
    """A process that works on one item.

    Args:
        order: what `kernelwright.bench.worker.work` reads.
        lock: a descriptor that it inherits, so that the run counts as worked on while it lives.
        worker: as `WORKER`.

    Raises:
        OSError: it does not start.
    """

    def __init__(self, order: Mapping[str, Any], lock: int, worker: Sequence[str] = WORKER) -> None:
        self.began = time.monotonic()
        self.ended: dict[str, Any] | None = None
        """How the item ended, once it has said so."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._read = b""
        paths = [str(Path(kernelwright.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, *worker],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            pass_fds=(lock,),
            process_group=0,  # Ctrl-C is for the parent, which says it to each child once
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        with suppress(BrokenPipeError):  # it is dead already: `close` tells
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()

    def fileno(self) -> int:
        """What is to be waited for until `messages` has something."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def messages(self) -> list[dict[str, Any]] | None:
        """What it has said since the last call; None when it says no more, for it has ended."""
        try:
            part = os.read(self.fileno(), _CHUNK)
        except BlockingIOError:
            return []
        if not part:
            return None
        *lines, self._read = (self._read + part).split(b"\n")
        found = [json.loads(line) for line in lines]
        for message in found:
            self.ended = message.get("ended", self.ended)
        return [message for message in found if "event" in message]

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return time.monotonic() - self.began

    def interrupt(self) -> None:
        """Asks it to store where it stands and to end."""
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """Ends it at once; the processes that it started see that and end too."""
        self._process.kill()

    def close(self) -> str:
        """Waits for its end; how it ended, in words, if it did not say so itself, else the empty string."""
        code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        with self._errors as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _SAID))
            said = file.read().decode(errors="replace").strip()
        if self.ended is not None:
            return ""
        how = f"was ended by signal {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"Its process {how}." + (f" It said: {said}" if said and code >= 0 else "")
