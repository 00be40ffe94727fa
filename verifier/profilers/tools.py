"""Finding and running the vendor's tools; what went wrong with one is a value, so that a run goes on without it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Protocol

__all__ = [
    "OUTPUT_BYTES",
    "SYMBOL",
    "Finished",
    "Problem",
    "ProblemKind",
    "Runner",
    "find_tool",
    "run_tool",
    "tool_environment",
]

OUTPUT_BYTES = 64 << 20
"""Of a tool's output, the most that is read: a report of ten thousand launches has some 20 MB (2 kB a launch)."""

SYMBOL = re.compile(r"[A-Za-z_$][\w$]*")
"""A kernel's name as in the machine code: mangled, or plain for `extern "C"`."""

_KEPT = (
    "PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "VIRTUAL_ENV", "CUDA_HOME", "CUDA_PATH",
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES",
    "KERNELWRIGHT_CACHE", "XDG_RUNTIME_DIR",
)  # fmt: skip


class ProblemKind(StrEnum):
    """Why a tool gave nothing."""

    MISSING = "missing"
    """It is not installed."""
    NO_PERMISSION = "no_permission"
    """The driver keeps performance counters for administrators."""
    NO_DEVICE = "no_device"
    """No driver, or no GPU."""
    UNSUPPORTED = "unsupported"
    """This GPU, or this file, is not one that it knows."""
    BUSY = "busy"
    """Another tool holds the counters."""
    NOTHING_MATCHED = "nothing_matched"
    """No launch was one of those asked for."""
    UNKNOWN_METRIC = "unknown_metric"
    """This chip has no metric of that name."""
    PROGRAM_FAILED = "program_failed"
    """The program under the tool ended with an error."""
    TIMEOUT = "timeout"
    """It was ended at its limit."""
    UNREADABLE = "unreadable"
    """What it printed is not of the documented form."""
    FAILED = "failed"
    """Anything else."""


@dataclass(frozen=True)
class Problem:
    """Why a tool gave nothing, or not all, in one sentence, and what to do about it."""

    tool: str
    kind: ProblemKind
    message: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.message} {self.mend}".rstrip()

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {**asdict(self), "kind": self.kind.value}


@dataclass(frozen=True)
class Finished:
    """A program that ended, or was ended at its limit."""

    returncode: int
    """Negative for a signal, as `subprocess` gives it."""
    stdout: str
    stderr: str
    timed_out: bool = False


class Runner(Protocol):
    """Runs a command to its end; `run_tool` does so as a plain process, a fenced one can stand in for it."""

    def __call__(self, command: Sequence[str], *, seconds: float, environment: Mapping[str, str]) -> Finished:
        """Runs it for at most `seconds` of wall time.

        Raises:
            OSError: it can't be started.
        """


def tool_environment(**further: str) -> dict[str, str]:
    """What tools and the programs under them see: no key of the person who runs us, and numbers written as in C.

    Nsight Compute writes numbers as the locale has it, and a decimal comma can't be told from a thousands separator.
    """
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "LC_ALL": "C", "LANG": "C", **further}


def run_tool(command: Sequence[str], *, seconds: float, environment: Mapping[str, str]) -> Finished:
    """Runs a command as a plain process, in a session of its own that is ended with it.

    Raises:
        OSError: it can't be started.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=dict(environment),
            start_new_session=True,
        )
        timed_out = False
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # what it started goes too
            process.wait()
        return Finished(process.returncode, _text(out), _text(err), timed_out)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(OUTPUT_BYTES).decode("utf-8", errors="replace")


def find_tool(name: str, *, also: Sequence[str] = ()) -> Path | None:
    """The program, from the PATH, from NVIDIA's wheels, or from where the CUDA toolkit is usually installed.

    Args:
        also: patterns of further places under `/`, the newest version is taken: `opt/nvidia/nsight-compute/*/ncu`.
    """
    if found := shutil.which(name):
        return Path(found)
    places: list[Path] = []
    with contextlib.suppress(ImportError):
        import nvidia  # type: ignore[import-untyped]

        for base in nvidia.__path__:
            places += sorted(Path(base).glob(f"cu*/bin/{name}"), reverse=True)
    for variable in ("CUDA_HOME", "CUDA_PATH"):
        if home := os.environ.get(variable):
            places += [Path(home, "bin", name), Path(home, name, name)]
    places += [Path("/usr/local/cuda/bin", name), Path("/usr/local/cuda", name, name)]
    for pattern in also:
        places += sorted(Path("/").glob(pattern), reverse=True)
    return next((place for place in places if place.is_file() and os.access(place, os.X_OK)), None)
