"""Finding and running tools."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from pathlib import Path

import pytest

from kernelwright.verifier.profilers.tools import find_tool, run_tool, tool_environment


def test_it_runs_and_tells() -> None:
    done = run_tool(
        [sys.executable, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"],
        seconds=60,
        environment=tool_environment(),
    )
    assert (done.returncode, done.stdout, done.stderr, done.timed_out) == (3, "out\n", "err\n", False)


def test_at_its_limit_it_is_ended_with_what_it_started(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = (
        "import subprocess, sys, pathlib, signal; "
        f"child = subprocess.Popen([{sys.executable!r}, '-c', 'import signal; signal.pause()']); "
        f"pathlib.Path({str(note)!r}).write_text(str(child.pid)); print('begun', flush=True); signal.pause()"
    )
    done = run_tool([sys.executable, "-c", code], seconds=3, environment=tool_environment())
    assert done.timed_out
    assert done.returncode < 0
    assert done.stdout == "begun\n"
    with contextlib.suppress(ProcessLookupError):  # raised if it is gone and reaped
        child = os.pidfd_open(int(note.read_text()))
        assert select.select([child], [], [], 60)[0], "what it started still runs"
        os.close(child)


def test_what_does_not_start_raises(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        run_tool([str(tmp_path / "none")], seconds=1, environment={})


def test_the_path_comes_first_and_what_is_not_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_tool("no-such-tool-anywhere") is None
    for folder in ("1.0", "2.0"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "odd-tool").write_text("#!/bin/sh\n")
        (tmp_path / folder / "odd-tool").chmod(0o755)
    pattern = f"{str(tmp_path).removeprefix('/')}/*/odd-tool"
    assert find_tool("odd-tool", also=(pattern,)) == tmp_path / "2.0" / "odd-tool"
    monkeypatch.setenv("PATH", str(tmp_path / "1.0"))
    assert find_tool("odd-tool", also=(pattern,)) == tmp_path / "1.0" / "odd-tool"
