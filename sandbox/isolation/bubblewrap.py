"""`bubblewrap`: namespaces around a process, without a service and without being root (https://github.com/containers/bubblewrap)."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from kernelwright.sandbox.isolation.base import Order, Running
from kernelwright.sandbox.isolation.cgroups import groups_problem
from kernelwright.sandbox.isolation.folders import private_folders, python_folders, system_folders
from kernelwright.sandbox.isolation.local import spawn
from kernelwright.sandbox.isolation.seccomp import filter_problem, filter_program

__all__ = ["Bubblewrap", "bubblewrap_problem", "program_command"]

_FENCE = ("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL")
_READ_ONLY = (
    "sys",
    "sysrq-trigger",
    "irq",
    "bus",
    "fs",
    "acpi",
    "scsi",
)  # of /proc: root's own even without capabilities
_MASKED = ("kcore", "keys", "key-users", "timer_list", "sched_debug", "kallsyms", "config.gz")
_PROCESSES_PER_NAMESPACE = (5, 14)  # from this Linux on, RLIMIT_NPROC counts a user namespace's own processes
_TMP = Path("/tmp")


class Bubblewrap:
    """No network, no other processes, no person's files; the system read-only; a /tmp of its own."""

    name = "bubblewrap"

    def problem(self) -> str:
        return bubblewrap_problem()

    def active(self) -> tuple[str, ...]:
        seccomp, groups = filter_problem(), groups_problem()
        return (
            f"no system call filter: {seccomp}" if seccomp else "system call filter",
            groups or "control groups for memory and processes",
            "bounded /tmp" if _sizes() else "/tmp bounded by memory only (bubblewrap before 0.7)",
        )

    def home(self, scratch: Path) -> Path:
        return _TMP

    def start(self, order: Order) -> Running:
        """Starts it; the processes in it can't outlive it."""
        fence = [_program(), *_FENCE, *_view(order.caps.scratch_bytes)]
        shown = [("--ro-bind", path) for path in (*python_folders(), *order.readable)]
        shown += [("--bind", path) for path in order.writable]
        for kind, path in sorted(shown, key=lambda each: len(each[1].parts)):
            fence += [kind, str(path.resolve()), str(path)]
        if order.gpu:
            for device in sorted(Path("/dev").glob("nvidia*")):
                fence += ["--dev-bind", str(device), str(device)]
        environment = dict(order.environment)
        if os.geteuid() != 0 and _release() >= _PROCESSES_PER_NAMESPACE:
            environment["KERNELWRIGHT_PROCESSES"] = str(order.caps.processes)
        filter_fd = -1
        if not filter_problem():
            filter_fd = _memory_file(filter_program())
            fence += ["--seccomp", str(filter_fd)]
        try:
            return spawn(
                order,
                [*fence, "--chdir", str(_TMP), "--", *order.command],
                environment=environment,
                cwd=order.scratch,
                namespace=True,
                fds=[filter_fd] if filter_fd >= 0 else [],
                rlimits=order.rlimits,
            )
        finally:
            if filter_fd >= 0:
                os.close(filter_fd)


@cache
def bubblewrap_problem() -> str:
    """Why bubblewrap can't be used here; the empty string if it can."""
    program = shutil.which("bwrap")
    if program is None:
        return "bwrap is not installed"
    try:
        done = subprocess.run(
            [program, *_FENCE, *_view(1 << 20), "--", "/bin/sh", "-c", ":"],
            capture_output=True,
            text=True,
            timeout=10,  # seconds; it takes under 0.01
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bwrap does not start: {error}"
    return "" if done.returncode == 0 else f"bwrap does not work here: {done.stderr.strip()[:200]}"


def program_command(command: Sequence[str], *, scratch: Path, readable: Sequence[Path]) -> list[str]:
    """The command line for a program that may read its user's files: everything but private folders, nothing writable.

    Args:
        scratch: its own directory; writable.
        readable: folders that would be hidden otherwise.
    """
    hidden = [_TMP, Path("/dev/shm"), *private_folders()]
    fence = [_program(), *_FENCE, "--ro-bind", "/", "/", "--dev", "/dev", *_proc()]
    for folder in hidden:
        fence += ["--tmpfs", str(folder)]
    for path in sorted({*python_folders(), *readable}, key=lambda each: len(each.parts)):
        if any(path.is_relative_to(folder) for folder in hidden):
            fence += ["--ro-bind", str(path.resolve()), str(path)]
    return [*fence, "--bind", str(scratch), str(scratch), "--chdir", str(scratch), "--", *command]


def _view(scratch_bytes: int) -> list[str]:
    """The file system that a worker finds, besides what its order adds."""
    arguments: list[str] = []
    for path in system_folders():
        if path.is_symlink() and path.parent == Path("/"):
            arguments += ["--symlink", os.readlink(path), str(path)]
        else:
            arguments += ["--ro-bind", str(path.resolve()), str(path)]
    arguments += [*_proc(), "--dev", "/dev", "--ro-bind-try", "/sys/devices/system", "/sys/devices/system"]
    for folder in ("/tmp", "/dev/shm"):
        arguments += [*(("--size", str(scratch_bytes)) if _sizes() else ()), "--tmpfs", folder]
    return arguments


def _proc() -> list[str]:
    arguments = ["--proc", "/proc"]
    for name in _READ_ONLY:
        arguments += ["--ro-bind-try", f"/proc/{name}", f"/proc/{name}"]
    for name in _MASKED:
        if Path("/proc", name).exists():
            arguments += ["--ro-bind", "/dev/null", f"/proc/{name}"]
    return arguments


def _program() -> str:
    return shutil.which("bwrap") or "bwrap"


@cache
def _sizes() -> bool:
    """Whether it can bound a tmpfs: from 0.7 on."""
    try:
        said = subprocess.run([_program(), "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    found = re.search(r"(\d+)\.(\d+)", said)
    return found is not None and (int(found[1]), int(found[2])) >= (0, 7)


@cache
def _release() -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", platform.release())
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _memory_file(data: bytes) -> int:
    fd = os.memfd_create("kernelwright-filter", os.MFD_CLOEXEC)
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
