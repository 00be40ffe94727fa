"""NVRTC under a deadline and a memory limit: it runs in a process of its own, kept for the next compilation.

A compilation has no end of its own (20,000 functions in one source take minutes), can't be interrupted, and deep nesting
can make NVRTC crash. The process is started at the first compilation, asked over a socket (0.3 ms a question, measured), ended
at a limit and then started anew, and ends with the one that started it.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import functools
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelwright.errors import BuildError

__all__ = ["Compiled", "CompilerProcess", "NvrtcFailure", "compiler_process", "missing_package", "nvrtc_library"]

COMPILE_SECONDS = 120.0
"""Wall limit of one run of NVRTC; a kernel takes 0.02 s, a source of 100,000 lines some seconds."""

COMPILE_BYTES = 6 << 30
"""Limit of the address space of NVRTC's process, that of the C++ compiler too."""

_START_SECONDS = 30.0  # wall limit for starting Python and loading NVRTC; it takes 0.05
_LENGTH = struct.Struct("<Q")
_WORKER = Path(__file__).with_name("nvrtc_worker.py")
_SMALLER = "Split the source, unroll less, or instantiate fewer templates in it."


@dataclass(frozen=True)
class Compiled:
    """What one run of NVRTC made."""

    ptx: str
    log: str
    lowered: dict[str, str]
    """Name expression to mangled name."""
    cubin: bytes = b""
    """Machine code (an ELF file), if it was asked for."""


class NvrtcFailure(Exception):
    """NVRTC refused the source.

    Args:
        outcome: the name of its error, `NVRTC_ERROR_COMPILATION` for instance.
        log: what it wrote.
    """

    def __init__(self, outcome: str, log: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.log = log


class CompilerProcess:
    """NVRTC in a process of its own; one compilation at a time.

    Args:
        seconds: wall limit of one compilation.
        memory_bytes: limit of the process's address space.
    """

    def __init__(self, *, seconds: float = COMPILE_SECONDS, memory_bytes: int = COMPILE_BYTES) -> None:
        self.seconds = seconds
        self.memory_bytes = memory_bytes
        self.detached = False
        """Start it as nobody's child: for a process whose own code may wait for all of its children."""
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    def compile(
        self, source: str, name: str, options: Sequence[str], names: Sequence[str], *, cubin: bool = False
    ) -> Compiled:
        """One run of NVRTC.

        Args:
            name: under which messages know the source.
            names: name expressions.
            cubin: whether machine code is wanted too; the options then name a real architecture.

        Raises:
            NvrtcFailure: it refuses the source.
            BuildError: it is missing, reached a limit, or crashed.
        """
        if self._owner != os.getpid():  # a fork: the process belongs to the other side of it
            self._forget()
        with self._lock:
            try:
                if self._channel is None or _closed(self._channel):
                    self._start()
                request = {
                    "source": source, "name": name, "options": list(options), "names": list(names), "folder": os.getcwd(),
                    "cubin": cubin,
                }  # fmt: skip
                answer = self._ask(request, self.seconds)
            except TimeoutError:
                self._end()
                raise BuildError(
                    f"the CUDA source is too large: NVRTC did not end within {self.seconds:g} s", mend=_SMALLER
                ) from None
            except (EOFError, BrokenPipeError, ConnectionError):
                raise self._died() from None
            except BaseException:
                self._end()
                raise
            outcome, log = str(answer["outcome"]), str(answer["log"])
            if outcome and ("OUT_OF_MEMORY" in outcome or "out of memory" in log.lower()):
                self._end()
                raise self._no_memory()
        if outcome:
            raise NvrtcFailure(outcome, log)
        lowered = {str(k): str(v) for k, v in answer["lowered"].items()}
        return Compiled(str(answer["ptx"]), log, lowered, base64.b64decode(answer.get("cubin", "")))

    def close(self) -> None:
        """Ends the process; the next compilation starts another."""
        if self._owner == os.getpid():
            with self._lock:
                self._end()

    def _start(self) -> None:
        self._end()
        library = nvrtc_library()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        command = [
            sys.executable, "-I", "-S", str(_WORKER), str(theirs.fileno()), str(self.memory_bytes), str(int(self.detached)),
        ]  # fmt: skip
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        except OSError as error:
            ours.close()
            raise BuildError(f"NVRTC's process does not start: {error}") from error
        finally:
            theirs.close()
        self._channel = ours
        if self.detached:
            self._process.wait()  # it has forked and left
        try:
            answer = self._ask({"library": str(library)}, _START_SECONDS)
        except TimeoutError:
            self._end()
            raise BuildError(f"NVRTC's process did not start within {_START_SECONDS:g} s") from None
        if "failed" in answer:
            self._end()
            raise BuildError(f"NVRTC can't be loaded: {answer['failed']}")

    def _ask(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        assert self._channel is not None
        deadline = time.monotonic() + seconds
        raw = json.dumps(message).encode()
        self._channel.settimeout(seconds)
        self._channel.sendall(_LENGTH.pack(len(raw)) + raw)
        size = _LENGTH.unpack(self._read(_LENGTH.size, deadline))[0]
        answer: dict[str, Any] = json.loads(self._read(size, deadline))
        return answer

    def _read(self, count: int, deadline: float) -> bytes:
        assert self._channel is not None
        data = bytearray()
        while len(data) < count:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._channel.settimeout(left)
            piece = self._channel.recv(min(count - len(data), 1 << 20))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)

    def _died(self) -> BuildError:
        """Why the process is gone."""
        code = None
        if self._process is not None and not self.detached:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(timeout=5)  # seconds; its socket is closed already
        self._end()
        if code in (-signal.SIGABRT, -signal.SIGKILL):  # how an allocation that fails ends it
            return self._no_memory()
        how = f" by {signal.Signals(-code).name}" if code is not None and code < 0 else ""
        return BuildError(
            f"the CUDA source does not compile: NVRTC was ended{how}",
            mend="It is too large, or expressions or templates in it are nested too deeply: split it, or nest less deeply.",
        )

    def _no_memory(self) -> BuildError:
        return BuildError(
            f"the CUDA source is too large: NVRTC needs more than {self.memory_bytes / 2**30:.1f} GiB of memory",
            mend=_SMALLER,
        )

    def _end(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            if not self.detached:
                self._process.kill()
            self._process.wait()
            self._process = None

    def _forget(self) -> None:
        """In a fork: leaves the other side's process alone."""
        self._lock = threading.Lock()
        self._owner = os.getpid()
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            self._process.returncode = 0  # it is no child of this process
            self._process = None


def _closed(channel: socket.socket) -> bool:
    """Whether the other end is gone; it says nothing without being asked."""
    poller = select.poll()
    poller.register(channel, select.POLLIN | select.POLLRDHUP)
    return bool(poller.poll(0))


@functools.cache
def compiler_process() -> CompilerProcess:
    """NVRTC's process of this one; started by the first compilation, ended with this process."""
    made = CompilerProcess()
    atexit.register(made.close)
    return made


@functools.cache
def nvrtc_library() -> Path:
    """NVRTC's file: that of the wheel, else what `cuda.pathfinder` finds on this machine.

    Raises:
        BuildError: there is none.
    """
    try:
        import nvidia  # type: ignore[import-untyped]

        for base in nvidia.__path__:
            for found in sorted(Path(base).glob("cu*/lib/libnvrtc.so.*")):
                return found
    except ImportError:
        pass
    try:
        from cuda import pathfinder
    except ImportError:
        raise missing_package("cuda-bindings") from None
    try:
        path = pathfinder.load_nvidia_dynamic_lib("nvrtc").abs_path
    except RuntimeError:
        path = None
    if path is None:
        raise missing_package("nvidia-cuda-nvrtc")
    return Path(path)


def missing_package(package: str) -> BuildError:
    """The error that a package of CUDA's is not installed."""
    return BuildError(
        f"CUDA C++ can't be compiled: the Python package {package} is missing",
        mend=f"Install it with `pip install '{package}==13.0.*'`.",
    )
