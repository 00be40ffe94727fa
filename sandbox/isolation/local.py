"""Workers that are child processes of this one, with or without a sandbox program around them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kernelwright.sandbox.isolation.base import Order
from kernelwright.sandbox.isolation.cgroups import Group, make_group

__all__ = ["ENTER", "LocalRunning", "entering", "spawn", "total_memory"]

ENTER = Path(__file__).with_name("enter.py")
_PASSES = 50  # over the process table, for what a worker has left; each finds what the one before missed
_WAIT_SECONDS = 30.0  # for a process that was killed; a call into a driver can delay it


def entering(
    command: Sequence[str],
    *,
    fds: Sequence[int] = (),
    groups: Sequence[str] = (),
    control: str | None = None,
    drop: bool = False,
    program: bytes = b"",
    rlimits: Mapping[str, int] | None = None,
) -> list[str]:
    """The command line that takes the steps of `enter.py` and becomes `command`."""
    job = {
        "command": list(command), "fds": list(fds), "groups": list(groups), "control": control, "drop": drop,
        "filter": program.hex(), "rlimits": dict(rlimits or {}),
    }  # fmt: skip
    return [sys.executable, "-I", "-S", str(ENTER), json.dumps(job)]


class LocalRunning:
    """A child process in a session of its own."""

    def __init__(self, process: subprocess.Popen[bytes], group: Group | None, *, namespace: bool, token: str) -> None:
        self._process = process
        self._group = group
        self._namespace = namespace
        self._token = token
        self._note = ""
        self._ended = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self, timeout: float) -> int:
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError from error

    def kill(self) -> str:
        """Ends the process, its descendants and whatever else is in its group.

        Where there is neither a group nor a process namespace, what left the process tree and erased its environment
        stays.
        """
        if self._ended:
            return self._note
        self._ended = True
        if self._group is not None:
            self._note = self._group.ran_into()
        alone = self._group is None and not self._namespace
        left = _descendants(self._process.pid) if alone else []
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_WAIT_SECONDS)
        if self._group is not None:
            self._group.kill()
        elif alone:
            _end_all(left, self._token)
        return self._note


def spawn(
    order: Order,
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    cwd: Path,
    namespace: bool,
    fds: Sequence[int] = (),
    drop: bool = False,
    program: bytes = b"",
    rlimits: Mapping[str, int] | None = None,
) -> LocalRunning:
    """Starts `command` for `order`, in a control group where there is one.

    Args:
        namespace: ending the process ends everything that it started.
        fds: further descriptors to inherit.
        drop, program, rlimits: see `enter.py`.
    """
    group = make_group(min(order.caps.memory_bytes, total_memory()), order.caps.processes)
    token = f"{os.getpid()}-{time.monotonic_ns()}"
    try:
        process = subprocess.Popen(
            entering(
                command, groups=group.doors if group is not None else (), drop=drop, program=program, rlimits=rlimits
            ),
            stdin=subprocess.DEVNULL,
            stdout=order.output,
            stderr=order.output,
            env={**environment, "KERNELWRIGHT_WORKER": token},
            cwd=cwd,
            pass_fds=[*order.fds, *fds],
            start_new_session=True,
        )
    except BaseException:
        if group is not None:
            group.kill()
        raise
    return LocalRunning(process, group, namespace=namespace, token=token)


def total_memory() -> int:
    """What this machine has, in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _parents() -> dict[int, int]:
    found = {}
    for entry in _process_ids():
        with contextlib.suppress(OSError, ValueError, IndexError):
            # the name, in brackets, may hold anything
            found[entry] = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
    return found


def _process_ids() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _descendants(pid: int) -> list[int]:
    parents = _parents()
    found: list[int] = []
    edge = {pid}
    while edge := {child for child, parent in parents.items() if parent in edge}:
        found += edge
    return found


def _marked(token: str) -> list[int]:
    mark = f"KERNELWRIGHT_WORKER={token}".encode()
    found = []
    for pid in _process_ids():
        with contextlib.suppress(OSError):
            if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.append(pid)
    return found


def _end_all(first: Iterable[int], token: str) -> None:
    left = list(first)
    for _ in range(_PASSES):
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        left = _marked(token)
        if not left:
            return
