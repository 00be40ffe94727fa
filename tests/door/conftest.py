"""A home of its own for every test of the door: no setting, store or log of whoever runs the tests is touched."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kernelwright.cli import run
from kernelwright.sandbox.isolation import bubblewrap_problem

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder; working directory and configuration folder are empty ones beside it."""
    for name in list(os.environ):
        if name.startswith("KERNELWRIGHT_") and name != "KERNELWRIGHT_CACHE":
            monkeypatch.delenv(name)
    if bubblewrap_problem():  # where nothing else is there, these tests take a plain process; containers have their own
        monkeypatch.setenv("KERNELWRIGHT_ISOLATION", "process")
    data, work = tmp_path / "data", tmp_path / "work"
    work.mkdir()
    monkeypatch.setenv("KERNELWRIGHT_DATA", str(data))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.chdir(work)
    return data


@pytest.fixture
def cli(home: Path) -> Cli:
    """Runs the program in a process of its own, as a person does."""

    def run(*arguments: str | Path, seconds: float = 240.0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "kernelwright", *map(str, arguments)]
        # os.environ and not the process's own block: readline, which pytest loads, puts COLUMNS into the latter
        environment = dict(os.environ)
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, env=environment)

    return run


@pytest.fixture
def here(home: Path, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Runs the program in the tests' own process, which has loaded torch and the database: two seconds less for each."""

    def run_here(*arguments: str | Path, seconds: float = 240.0) -> subprocess.CompletedProcess[str]:
        del seconds  # the test's own limit
        command = [*map(str, arguments)]
        capfd.readouterr()
        code = run(command)
        out, err = capfd.readouterr()
        return subprocess.CompletedProcess(command, code, out, err)

    return run_here
