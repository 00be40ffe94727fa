"""The emulator's runtime library is built by one process, however many start on a new machine at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COMPILER = """#!/bin/sh
echo "$@" >> "$LOG"
while [ "$1" != -o ]; do shift; done
echo made > "$2"
"""
PROGRAM = "from kernelwright.sandbox.emulator.toolchain import ensure_runtime; ensure_runtime()"


def start(folder: Path) -> subprocess.Popen[bytes]:
    compiler = folder / "compiler"
    if not compiler.exists():
        compiler.write_text(COMPILER)
        compiler.chmod(0o755)
    own = {"CXX": str(compiler), "LOG": str(folder / "log"), "KERNELWRIGHT_CACHE": str(folder / "cache")}
    return subprocess.Popen([sys.executable, "-c", PROGRAM], env={**os.environ, **own})


def links(folder: Path) -> int:
    return (folder / "log").read_text().count("-o libkwruntime.so")


def test_three_processes_at_once_build_it_once(tmp_path: Path) -> None:
    assert [process.wait() for process in [start(tmp_path) for _ in range(3)]] == [0, 0, 0]
    assert links(tmp_path) == 1
    (made,) = (tmp_path / "cache" / "emulator").glob("runtime-*/")
    assert {"libkwruntime.so", "kernel.hpp", "kernel.hpp.gch"} <= {path.name for path in made.iterdir()}


def test_half_a_library_is_built_whole(tmp_path: Path) -> None:
    assert start(tmp_path).wait() == 0
    (made,) = (tmp_path / "cache" / "emulator").glob("runtime-*/")
    (made / "libkwruntime.so").unlink()
    assert start(tmp_path).wait() == 0
    assert links(tmp_path) == 2
    assert (made / "libkwruntime.so").is_file()
