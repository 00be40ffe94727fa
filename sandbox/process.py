"""Worker processes: start one, ask it things under a deadline, end it.

The worker's command line holds no secret and its environment only what is listed here, so no key of the person who
runs us reaches it. Limits on memory, files and core dumps are set by the worker on itself before it loads any code
that we did not write; time limits are the judge's.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import kernelwright
from kernelwright.errors import ProtocolError, WorkerCrashed, WorkerTimeout
from kernelwright.sandbox.cache import cache_root
from kernelwright.sandbox.channel import Channel, ChannelClosed, ChannelTimeout, Message
from kernelwright.sandbox.isolation import wrap

__all__ = ["Limits", "Worker"]

_KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_PATH", "CUDA_VISIBLE_DEVICES", "VIRTUAL_ENV")
_SCRATCH = "kernelwright-"
_STDERR_KEPT = 8000  # bytes of a worker's standard error shown after a crash


@dataclass(frozen=True)
class Limits:
    """What one worker may use."""

    call_seconds: float = 60.0
    """Wall time of one call of the module, in seconds."""
    load_seconds: float = 120.0
    """Wall time of starting and loading, in seconds (importing torch takes 1.5)."""
    build_seconds: float = 60.0
    """Wall time for compiling, on top of the first call, in seconds (typical: 2; once per machine: 10)."""
    memory_bytes: int = 16 << 30
    """Address space, in bytes; torch maps several GiB that it never touches."""
    file_bytes: int = 2 << 30
    """Largest file, in bytes (memory files with tensors count)."""


@cache
def _sweep_scratch() -> None:
    """Removes directories of workers whose judge was killed before it could; once per process."""
    for left in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*-*"):
        owner = left.name.removeprefix(_SCRATCH).split("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(left, ignore_errors=True)


class Worker:
    """A child process that answers requests, one at a time.

    Args:
        module: the Python module to run with ``-m``.
        name: for messages: "the reference", "the candidate".
    """

    def __init__(
        self,
        module: str,
        *,
        name: str,
        limits: Limits,
        isolation: str = "process",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.limits = limits
        _sweep_scratch()
        self._scratch = Path(tempfile.mkdtemp(prefix=f"{_SCRATCH}{os.getpid()}-"))
        self._stderr = self._scratch / "stderr"
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        cache = cache_root()
        cache.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-P", "-m", module, str(theirs.fileno())]
        env = {key: os.environ[key] for key in _KEPT if key in os.environ}
        env |= {
            "HOME": str(self._scratch),
            "TMPDIR": str(self._scratch),
            "KERNELWRIGHT_CACHE": str(cache),
            "KERNELWRIGHT_MEMORY_BYTES": str(limits.memory_bytes),
            "KERNELWRIGHT_FILE_BYTES": str(limits.file_bytes),
            # the directory that holds the package, for a checkout that is not installed
            "PYTHONPATH": str(Path(kernelwright.__file__).parents[1]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONNOUSERSITE": "1",
            "PYTHONUNBUFFERED": "1",
        } | dict(environment or {})
        try:
            with open(self._stderr, "wb") as stderr:
                self._process = subprocess.Popen(
                    wrap(
                        command, isolation=isolation, scratch=self._scratch, writable=[cache], pass_fd=theirs.fileno()
                    ),
                    stdin=subprocess.DEVNULL,
                    stdout=stderr,
                    stderr=stderr,
                    env=env,
                    cwd=self._scratch,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise
        finally:
            theirs.close()
        self._channel: Channel | None = Channel(ours)

    @property
    def alive(self) -> bool:
        """Whether requests can still be sent."""
        return self._channel is not None

    @property
    def pid(self) -> int:
        """The process id of the child (of the sandbox, when there is one)."""
        return self._process.pid

    @property
    def channel(self) -> Channel:
        """The open channel.

        Raises:
            WorkerCrashed: the worker has ended.
        """
        if self._channel is None:
            raise WorkerCrashed(f"{self.name} has ended", stderr=self.stderr())
        return self._channel

    def request(
        self,
        op: str,
        *,
        timeout: float,
        values: Any = None,
        shared: Any = None,
        max_bytes: int = 1 << 36,
        **fields: Any,
    ) -> Message:
        """Sends one request and waits for the answer.

        Args:
            timeout: in seconds; at its end the worker is killed.
            values: tensors and plain values, copied to the worker; or
            shared: what `Channel.share` returned, which the worker maps.
            max_bytes: the most that its tensors may hold.

        Raises:
            WorkerTimeout, WorkerCrashed, ProtocolError: and the worker has been ended.
        """
        try:
            if shared is not None:
                self.channel.send_shared({"op": op, **fields}, shared)
            else:
                self.channel.send({"op": op, **fields}, values)
            return self.channel.receive(timeout=timeout, max_bytes=max_bytes)
        except ChannelTimeout as error:
            self.close()
            raise WorkerTimeout(f"{self.name} did not answer within {timeout:g} s.") from error
        except ProtocolError:
            self.close()
            raise
        except ChannelClosed as error:
            raise self._crashed() from error
        except BaseException:
            self.close()
            raise

    def _crashed(self) -> WorkerCrashed:
        try:
            code: int | None = self._process.wait(timeout=5)  # seconds; its socket is closed already
        except subprocess.TimeoutExpired:
            code = None
        text = self.stderr()
        self.close()
        if code is not None and code < 0:
            how = f"was ended by signal {signal.Signals(-code).name}"
        elif code is not None and code > 128 and code - 128 in {s.value for s in signal.Signals}:
            how = f"was ended by signal {signal.Signals(code - 128).name}"  # as bubblewrap reports it
        else:
            how = f"ended with exit code {code}"
        return WorkerCrashed(f"{self.name} {how}.", returncode=code, stderr=text)

    def stderr(self) -> str:
        """The end of what the worker printed."""
        try:
            with open(self._stderr, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _STDERR_KEPT))
                return file.read().decode(errors="replace")
        except OSError:
            return ""

    def close(self) -> None:
        """Ends the worker and everything it started, and removes its directory; it keeps nothing that we need."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self._process.kill()
        self._process.wait()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
