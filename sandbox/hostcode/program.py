"""Bare CUDA programs (a `.cu` with its own `main`) on the emulator."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import kernelwright
from kernelwright.errors import BuildError, EmulatorError, LaunchError, NotFoundError, UnsupportedError, WorkerTimeout
from kernelwright.sandbox.cache import cache_root
from kernelwright.sandbox.isolation import program_command
from kernelwright.sandbox.launch import LaunchOptions, LaunchReport, Violation

__all__ = ["ProgramResult", "run_program"]

_KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "CXX")
_ERRORS: dict[str, type[BuildError] | type[UnsupportedError] | type[LaunchError]] = {
    "build": BuildError,
    "unsupported": UnsupportedError,
    "launch": LaunchError,
}


@dataclass(frozen=True)
class ProgramResult:
    """What a program did."""

    exit_code: int
    """Of the process; negative for a signal, as `subprocess` gives it."""
    stdout: str
    """What it wrote, if that was captured."""
    stderr: str
    reports: tuple[LaunchReport, ...]
    """Its launches, in order."""
    leaks: tuple[int, ...] | None
    """Sizes in bytes of device memory that it never freed; None if it ended by a signal."""
    seconds: float
    """Wall time from start to end, building included."""

    @property
    def violations(self) -> tuple[Violation, ...]:
        """Of all launches."""
        return tuple(v for report in self.reports for v in report.violations)


def run_program(
    program: Path | str,
    argv: Sequence[str] = (),
    *,
    arch: str = "sm_90",
    options: Sequence[str] = (),
    include_dirs: Sequence[Path] = (),
    stdin: int | IO[Any] | None = subprocess.DEVNULL,
    stdout: int | IO[Any] | None = subprocess.PIPE,
    stderr: int | IO[Any] | None = subprocess.PIPE,
    launch_seconds: float = 120.0,
    timeout: float | None = 600.0,
    memory_bytes: int = 16 << 30,
    isolation: str = "process",
    launch_options: LaunchOptions | None = None,
) -> ProgramResult:
    """Builds a CUDA program and runs it in a process of its own.

    Args:
        program: a file (`Path`), or the source text (`str`).
        argv: its command-line arguments, without its name.
        options: nvcc's (`-std`, `-D`, `-I`, `--use_fast_math`, ...).
        stdin, stdout, stderr: as `subprocess.Popen` takes them; None passes this process's own through.
        launch_seconds: wall limit of one launch.
        timeout: wall limit of the whole run, in seconds.
        memory_bytes: limit of its address space; 0 for none.
        isolation: `process` runs it as its author would, with this process's environment, folder and files; `bubblewrap`
            shows it the file system read-only, without the private folders (see `sandbox.isolation`).
        launch_options: how launches are run and what is recorded of them.

    Raises:
        NotFoundError: no such file.
        BuildError: host or device code does not compile, with the line.
        UnsupportedError: it needs what the emulator does not have.
        WorkerTimeout: it did not end in time.
        EmulatorError: it could not be started.
    """
    begin = time.perf_counter()
    if isinstance(program, Path):
        try:
            source = program.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise NotFoundError(
                "this is no UTF-8 text.", path=str(program), mend="Give the source of a CUDA program."
            ) from error
        except OSError as error:
            raise NotFoundError(f"the program can't be read: {error.strerror}.", path=str(program)) from error
        name, folder = program.name, str(program.resolve().parent)
    else:
        source, name, folder = program, "program.cu", ""
    job = {
        "source": source, "name": name, "folder": folder, "argv": list(argv), "arch": arch, "options": list(options),
        "include_dirs": [str(Path(p).resolve()) for p in include_dirs], "seconds": launch_seconds,
        "memory_bytes": memory_bytes, "launch_options": (launch_options or LaunchOptions()).to_json(),
    }  # fmt: skip
    cache = cache_root().absolute()
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="kernelwright-") as scratch:
        run = _Run(job, Path(scratch), cache, (stdin, stdout, stderr), isolation)
        messages, out, err, code = run.finish(timeout)
    reports, leaks = [], None
    if not any("started" in message or "failed" in message for message in messages):
        raise EmulatorError(f"the program's process ended before its main ({code}): {err.strip()[-800:]}")
    for message in messages:
        if "report" in message:
            reports.append(LaunchReport.from_json(message["report"]))
        elif "leaks" in message:
            leaks = tuple(int(n) for n in message["leaks"])
        elif "failed" in message:
            raise _error(message["failed"], name if isinstance(program, Path) else None)
    return ProgramResult(code, out, err, tuple(reports), leaks, time.perf_counter() - begin)


class _Run:
    """The child process and the thread that listens to it."""

    def __init__(
        self, job: dict[str, Any], scratch: Path, cache: Path, files: tuple[Any, Any, Any], isolation: str
    ) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        command = [sys.executable, "-P", "-m", "kernelwright.sandbox.hostcode.program_worker", str(theirs.fileno())]
        if isolation == "process":
            environment = os.environ | {"KERNELWRIGHT_CACHE": str(cache)}
        else:
            environment = {key: os.environ[key] for key in _KEPT if key in os.environ}
            environment |= {"HOME": str(scratch), "TMPDIR": str(scratch)}
            # what it builds ends with it: nothing that it wrote is loaded by anybody else
            environment |= {"KERNELWRIGHT_CACHE": str(scratch / "cache"), "KERNELWRIGHT_CACHE_BENEATH": str(cache)}
            command = program_command(command, scratch=scratch, readable=[cache])
        environment |= {
            "PYTHONPATH": str(Path(kernelwright.__file__).parents[1]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONNOUSERSITE": "1",
        }
        self._messages: list[dict[str, Any]] = []
        try:
            self._process = subprocess.Popen(
                command,
                stdin=files[0],
                stdout=files[1],
                stderr=files[2],
                env=environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise EmulatorError(f"the program's process does not start: {error}") from error
        finally:
            theirs.close()
        self._channel = ours
        ours.sendall(json.dumps(job).encode() + b"\n")
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        with self._channel.makefile("r", encoding="utf-8") as lines:
            try:
                for line in lines:
                    self._messages.append(json.loads(line))
            except (OSError, ValueError):
                return  # it died within a line

    def finish(self, timeout: float | None) -> tuple[list[dict[str, Any]], str, str, int]:
        """Waits for its end; (messages, standard output, standard error, exit code)."""
        try:
            out, err = self._process.communicate(timeout=timeout)
        except BaseException as error:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise WorkerTimeout(f"the program did not end within {timeout:g} s.") from None
            raise
        finally:
            self._listener.join(timeout=10)  # seconds; its other end is closed already
            self._channel.close()
        return self._messages, _text(out), _text(err), self._process.returncode


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode(errors="replace")


def _error(found: dict[str, Any], path: str | None) -> Exception:
    kind = _ERRORS.get(str(found.get("kind")))
    message, mend = str(found.get("message", "")), str(found.get("mend", ""))
    line = found.get("line")
    if kind is BuildError:
        error: BuildError | UnsupportedError | LaunchError | EmulatorError = BuildError(
            message, log=str(found.get("log", "")), mend=mend, line=line
        )
    elif kind is not None:
        error = kind(message, mend=mend, line=line)
    else:
        error = EmulatorError(f"{found.get('type')}: {message}", mend=mend)
    error.path = path if line is not None else None
    return error
