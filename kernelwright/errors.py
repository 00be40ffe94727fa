"""Every error that Kernelwright raises on purpose.

    KernelwrightError                     exit code 1
    ├── MisuseError                       exit code 2: what a person gave us can't be used
    │   ├── TaskError                     the reference file: missing, broken, not deterministic, ...
    │   ├── KernelError                   the kernel file: no ModelNew, not Python, too large, ...
    │   ├── BundleError                   no evidence bundle, a part of one, or of an unknown version
    │   ├── AccessError                   who asks may not do this
    │   ├── ConfigError                   a setting or a flag
    │   └── NotFoundError                 no such run, kernel or GPU
    ├── LoweringError                     the built-in coder can lower nothing of this module
    ├── BuildError                        CUDA C++ that does not compile
    ├── EmulatorError                     the emulator can't go on
    │   ├── UnsupportedError              an instruction or feature that is refused before running
    │   └── LaunchError                   a launch that a GPU would refuse (arguments, sizes)
    ├── SandboxError                      a process of ours did not do its work
    │   ├── WorkerCrashed                 it ended by itself (signal or exit code)
    │   ├── WorkerTimeout                 it was ended at its time limit
    │   └── ProtocolError                 it answered something outside the schema
    ├── ModelError                        a language model gave no reply
    │   └── BudgetReached                 it was not asked: the call could have passed the budget
    └── StoreError                        the database

An error says what was asked, what was found, and what to do about it. Worker processes import this module, so it
needs the standard library only.
"""

from __future__ import annotations

__all__ = [
    "AccessError",
    "BudgetReached",
    "BuildError",
    "BundleError",
    "ConfigError",
    "EmulatorError",
    "KernelError",
    "KernelwrightError",
    "LaunchError",
    "LoweringError",
    "MisuseError",
    "ModelError",
    "NotFoundError",
    "ProtocolError",
    "SandboxError",
    "StoreError",
    "TaskError",
    "UnsupportedError",
    "WorkerCrashed",
    "WorkerTimeout",
]


class KernelwrightError(Exception):
    """Base of every error raised on purpose.

    Args:
        message: what was asked and what was found, as one sentence.
        mend: what the reader can do about it, as one sentence; empty if there is nothing to say.
        path: the file concerned, if any.
        line: the 1-based line in that file (or in the CUDA source), if known.
    """

    exit_code = 1

    def __init__(self, message: str, *, mend: str = "", path: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend
        self.path = path
        self.line = line

    @property
    def where(self) -> str:
        """``file:line``, ``file``, ``line N`` or the empty string."""
        if self.path and self.line:
            return f"{self.path}:{self.line}"
        if self.line:
            return f"line {self.line}"
        return self.path or ""

    def __str__(self) -> str:
        head = f"{self.where}: {self.message}" if self.where else self.message
        return f"{head} {self.mend}".rstrip()


class MisuseError(KernelwrightError):
    """What a person gave us can't be used; the command line exits with 2."""

    exit_code = 2


class TaskError(MisuseError):
    """The reference module's file is missing, broken, or not usable as a task."""


class KernelError(MisuseError):
    """The kernel's file is missing or is no kernel module."""


class BundleError(MisuseError):
    """A file that is no evidence bundle, holds only a part of one, or has a version that this program does not know."""


class AccessError(MisuseError):
    """Who asks may not do this: no token, or one whose role does not reach so far."""


class ConfigError(MisuseError):
    """A setting has a value that can't be used."""


class NotFoundError(MisuseError):
    """Something named by a person (a run, a kernel, a GPU) does not exist."""


class LoweringError(KernelwrightError):
    """The built-in coder can lower no part of the module to CUDA."""


class BuildError(KernelwrightError):
    """CUDA C++ that does not compile.

    Args:
        log: the compiler's whole log.
    """

    def __init__(self, message: str, *, log: str = "", mend: str = "", line: int | None = None) -> None:
        super().__init__(message, mend=mend, line=line)
        self.log = log


class EmulatorError(KernelwrightError):
    """The emulator can't go on."""


class UnsupportedError(EmulatorError):
    """An instruction or feature that is refused before running, named with its source line."""


class LaunchError(EmulatorError):
    """A launch that a GPU would refuse as well: wrong arguments, too many threads, too much shared memory."""


class SandboxError(KernelwrightError):
    """A process of ours did not do its work."""


class WorkerCrashed(SandboxError):
    """A worker process ended by itself.

    Args:
        returncode: as `subprocess` gives it, negative for a signal.
        stderr: the end of what it wrote to its standard error.
    """

    def __init__(self, message: str, *, returncode: int | None = None, stderr: str = "", mend: str = "") -> None:
        super().__init__(message, mend=mend)
        self.returncode = returncode
        self.stderr = stderr


class WorkerTimeout(SandboxError):
    """A worker process was ended at its time limit."""


class ProtocolError(SandboxError):
    """A worker answered something outside the schema."""


class ModelError(KernelwrightError):
    """A language model could not be reached, or gave no reply, after all retries."""


class BudgetReached(ModelError):
    """A call was not made, because it could have passed the budget."""


class StoreError(KernelwrightError):
    """The database can't be read or written."""
