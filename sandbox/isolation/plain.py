"""`process`: a plain process. It stops accidents and the common attacks, and shares the file system with its judge."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from kernelwright.sandbox.isolation.base import Order, Running
from kernelwright.sandbox.isolation.cgroups import groups_problem
from kernelwright.sandbox.isolation.local import spawn
from kernelwright.sandbox.isolation.seccomp import filter_problem, filter_program

__all__ = ["PlainProcess"]

_PR_SET_DUMPABLE = 4  # prctl(2)


class PlainProcess:
    """No sandbox: limits, no capabilities, and a filter of system calls. It reads and writes what its user can."""

    name = "process"

    def problem(self) -> str:
        return ""

    def active(self) -> tuple[str, ...]:
        seccomp, groups = filter_problem(), groups_problem()
        return (
            "no fence around files",
            f"no system call filter: {seccomp}" if seccomp else "system call filter (no sockets, no ptrace)",
            groups or "control groups for memory and processes",
        )

    def home(self, scratch: Path) -> Path:
        return scratch

    def start(self, order: Order) -> Running:
        """Starts it. The judge's memory and environment can't be read through /proc from then on.

        A judge that may be read by its own user may be read by an untrusted worker of that user; so it becomes
        undumpable (no core dumps, no debugger) when it starts the first one.
        """
        guarded = sys.platform == "linux" and not order.trusted
        program = b""
        if guarded:
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
            if not filter_problem():
                program = filter_program(unkillable=(os.getpid(), -os.getpgrp(), os.getppid()))
        return spawn(
            order,
            order.command,
            environment=order.environment,
            cwd=order.scratch,
            namespace=False,
            drop=guarded and os.geteuid() == 0,
            program=program,
            rlimits=order.rlimits,
        )
