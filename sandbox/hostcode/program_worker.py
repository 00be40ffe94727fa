"""The process in which a CUDA program runs: builds it, calls its `main`, reports every launch as it happens.

Run with ``python -m kernelwright.sandbox.hostcode.program_worker FD``; `program.run_program` is its other end. Standard
input, output and error are the program's own.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import resource
import signal
import socket
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from kernelwright.errors import BuildError, KernelwrightError, UnsupportedError
from kernelwright.sandbox.cache import cache_folder, cached, store_atomically
from kernelwright.sandbox.emulated.session import open_session
from kernelwright.sandbox.hostcode.launching import Launcher
from kernelwright.sandbox.hostcode.loading import explain_missing
from kernelwright.sandbox.hostcode.toolchain import host_tool, trim_folders
from kernelwright.sandbox.hostcode.translate import (
    Part,
    device_unit,
    read_part,
    split_host,
    unit_from_json,
    unit_key,
    unit_to_json,
)
from kernelwright.sandbox.launch import LaunchOptions
from kernelwright.sandbox.nvrtc import compiler_process
from kernelwright.sandbox.serve import describe_error

FAILED = 70  # EX_SOFTWARE of sysexits.h: the program could not go on, for a reason that was sent

_PR_SET_PDEATHSIG = 1  # prctl(2)


class Program:
    """One program on its way from text to `main`."""

    def __init__(self, channel: socket.socket, job: dict[str, Any]) -> None:
        self._channel = channel
        self._job = job

    def send(self, **message: Any) -> None:
        """One line to the other end; it may be gone."""
        try:
            self._channel.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            os._exit(FAILED)

    def fail(self, error: BaseException) -> NoReturn:
        """Tells why the program can't go on, and ends."""
        self.send(failed=describe_error(error))
        ctypes.CDLL(None).fflush(None)
        os._exit(FAILED)

    def run(self) -> NoReturn:
        """Builds the program and calls its `main`; never returns."""
        options = LaunchOptions(**self._job["launch_options"])
        compiler_process().detached = True  # a program may wait for all of its children
        session = open_session(self._job["arch"], float(self._job["seconds"]), options)
        tool = host_tool()
        launcher = Launcher(
            session,
            tool.runtime(),
            raises=False,
            on_report=lambda report: self.send(report=report.to_json()),
            on_failure=self.fail,
        )
        session.limits = replace(
            session.limits, on_print=lambda text: launcher.library.kernelwright_print(text.encode())
        )
        library, unit = self._made()
        launcher.add(unit)
        libc = ctypes.CDLL(None)

        def at_end() -> None:
            launcher.library.kernelwright_flush()
            self.send(leaks=launcher.leaks())

        # before the program is loaded, so that it runs after the destructors of its globals
        handler = ctypes.CFUNCTYPE(None)(at_end)
        launcher.library.kernelwright_at_exit(handler)
        program = explain_missing(self._job["name"], lambda: ctypes.CDLL(str(library)))
        self.send(started=True)
        words = [self._job["name"].encode(), *(str(word).encode() for word in self._job["argv"])]
        argv = (ctypes.c_char_p * (len(words) + 1))(*words, None)
        libc.exit(program.kernelwright_run(len(words), argv))
        os._exit(FAILED)  # exit does not return

    def _made(self) -> tuple[Path, Any]:
        """The program's library and its device half; from the cache if they are there."""
        job, tool = self._job, host_tool()
        folder = Path(job["folder"]) if job["folder"] else None
        part = Part(((job["name"], job["source"]),), job["name"], cuda=True, folder=folder)
        dialect = next(
            (f.split("=", 1)[1] for f in job["options"] if f.startswith(("-std=", "--std="))), "c++17"
        )  # nvcc's default
        read = read_part(
            part,
            tool.compiler,
            arch=job["arch"],
            flags=job["options"],
            include_dirs=[Path(p) for p in job["include_dirs"]],
            dialect=dialect,
            versions={},
        )
        own = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()
        key = unit_key(read, tool.identity, own, dialect, *job["options"])
        home = cache_folder("hostcode") / "programs" / key
        library, record = home / "program.so", home / "unit.json"
        found, described = cached(library), cached(record)
        if found.is_file() and described.is_file():
            with contextlib.suppress(OSError):  # the shared cache may be read-only
                os.utime(described.parent)
            return found, unit_from_json(json.loads(described.read_text()), part)
        host = split_host(read, key, torch=False, light=True)
        if host.main_params is None:
            raise BuildError(
                "the source has no function main.",
                mend="A bare CUDA program needs one; a module's kernel does not run alone.",
            )
        unit = device_unit(
            read, key, host, flags=[f for f in job["options"] if not f.startswith("-l")], dialect=dialect
        )
        text = (
            f'#line 1 "{part.name}"\n{host.text}\n'
            'extern "C" int kernelwright_run(int argc, char** argv) {'
            " return ::kernelwright::call_main(&kernelwright_main, argc, argv); }\n"
        )
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent, prefix=".new-") as name:
            work = Path(name)
            objects = tool.compile([(part.name, text, "program")], work, dialect=dialect)
            tool.link(objects, work / "program.so", [f for f in job["options"] if f in ("-lm", "-lpthread")])
            home.mkdir(exist_ok=True)
            os.replace(work / "program.so", library)
        store_atomically(record, json.dumps(unit_to_json(unit)).encode())
        trim_folders(home.parent)
        return library, unit


def main() -> None:
    """Reads the job and runs it."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    channel = socket.socket(fileno=int(sys.argv[-1]))
    with channel.makefile("r", encoding="utf-8") as lines:
        job = json.loads(lines.readline())
    if job["memory_bytes"]:
        resource.setrlimit(resource.RLIMIT_AS, (job["memory_bytes"], job["memory_bytes"]))
    program = Program(channel, job)
    try:
        program.run()
    except (KernelwrightError, UnsupportedError, OSError, ValueError, MemoryError) as error:
        program.fail(error)


if __name__ == "__main__":
    main()
