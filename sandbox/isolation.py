"""What stands between a worker process and this machine.

`bubblewrap` (when present and working) gives the worker no network, a read-only system, a private /tmp and its own
process tree. `process` is a plain process with resource limits: it stops accidents, not attackers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import kernelwright
from kernelwright.errors import ConfigError

__all__ = ["ISOLATIONS", "bubblewrap_problem", "choose_isolation", "wrap"]

ISOLATIONS = ("auto", "bubblewrap", "process")


@cache
def bubblewrap_problem() -> str:
    """Why bubblewrap can't be used here; the empty string if it can."""
    program = shutil.which("bwrap")
    if program is None:
        return "bwrap is not installed"
    try:
        done = subprocess.run(
            [
                program,
                "--unshare-all",
                "--die-with-parent",
                "--ro-bind",
                "/",
                "/",
                "--proc",
                "/proc",
                "--dev",
                "/dev",
                "true",
            ],
            capture_output=True,
            text=True,
            timeout=10,  # seconds; it takes under 0.01
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bwrap does not start: {error}"
    return "" if done.returncode == 0 else f"bwrap does not work here: {done.stderr.strip()[:200]}"


def choose_isolation(asked: str) -> str:
    """`auto` becomes the strongest one that works here.

    Raises:
        ConfigError: the one asked for does not exist or does not work here.
    """
    if asked not in ISOLATIONS:
        raise ConfigError(f"no isolation is called {asked!r}.", mend=f"Choose one of {', '.join(ISOLATIONS)}.")
    if asked == "process":
        return asked
    problem = bubblewrap_problem()
    if asked == "bubblewrap" and problem:
        raise ConfigError(
            f"isolation bubblewrap was asked for, but {problem}.", mend="Install bubblewrap, or ask for 'process'."
        )
    return "process" if problem else "bubblewrap"


def wrap(command: Sequence[str], *, isolation: str, scratch: Path, writable: Sequence[Path], pass_fd: int) -> list[str]:
    """The command line that runs `command` under `isolation`.

    Args:
        scratch: the worker's own directory, its working directory and its /tmp; writable.
        writable: further paths it may write to (the build cache).
        pass_fd: the descriptor of its channel; bubblewrap passes it on.
    """
    if isolation == "process":
        return list(command)
    binds: list[str] = []
    for path in (scratch, *writable):
        binds += ["--bind", str(path), str(path)]
    return [
        "bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL",
        "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/dev/shm",
        *_hidden(), *_python(), *binds, "--chdir", str(scratch), "--", *command,
    ]  # fmt: skip


def _python() -> list[str]:
    """Binds for an interpreter or a checkout that lies under a directory that we hide.

    Others are there already, and bubblewrap refuses to bind over a path that is a link (a virtual environment may be).
    """
    roots = {Path(sys.prefix), Path(sys.base_prefix), Path(kernelwright.__file__).parents[1]}
    hidden = [Path("/tmp"), Path("/dev/shm"), *_private_folders()]
    roots |= {root.resolve() for root in roots}
    bound: list[Path] = []
    for root in sorted(roots):
        covered = any(root.is_relative_to(other) for other in bound)
        if not covered and any(root.is_relative_to(folder) for folder in hidden):
            bound.append(root)
    return [part for root in bound for part in ("--ro-bind", str(root), str(root))]


def _hidden() -> list[str]:
    """Empty directories over the places where people keep keys."""
    return [part for folder in _private_folders() for part in ("--tmpfs", str(folder))]


def _private_folders() -> list[Path]:
    home = Path(os.path.expanduser("~"))
    names = (".ssh", ".aws", ".config", ".docker", ".gnupg", ".kube")
    return [home / name for name in names if (home / name).is_dir()]
