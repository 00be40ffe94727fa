"""NVIDIA's compute-sanitizer as a tool: its command line, and a run of it. What it prints is read in `sanitizer_report`.

Options as in NVIDIA's "Compute Sanitizer" user manual (CUDA 11.6 to 13).
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from kernelwright.verifier.profilers.sanitizer_report import ERROR_EXIT, SanitizerRun, parse
from kernelwright.verifier.profilers.tools import (
    SYMBOL,
    Problem,
    ProblemKind,
    Runner,
    find_tool,
    run_tool,
    tool_environment,
)

__all__ = ["TOOLS", "command", "sanitize"]

TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
_SECONDS = 600.0  # wall limit; racecheck takes ten to a hundred times as long as the program (NVIDIA's manual)
_PRINT_LIMIT = 1000

_MISSING = Problem(
    "compute-sanitizer", ProblemKind.MISSING, "compute-sanitizer is not installed.", "It comes with the CUDA toolkit."
)


def command(
    program: Sequence[str],
    tool: str = "memcheck",
    *,
    sanitizer: str = "compute-sanitizer",
    kernels: Sequence[str] = (),
    leaks: bool = False,
    log_file: str = "",
) -> list[str]:
    """The command line that checks a program with one of the tools.

    Args:
        kernels: symbols (mangled); empty for all.
        leaks: look for memory that is never freed (memcheck only).
        log_file: where the report goes; empty for standard output, where the program's own output is.

    Raises:
        ValueError: no program, no such tool, or a kernel's name that is no symbol.
    """
    if not program:
        raise ValueError("a program to check is needed, and none was given")
    if tool not in TOOLS:
        raise ValueError(f"compute-sanitizer has no tool {tool!r}; choose one of {', '.join(TOOLS)}")
    line = [
        sanitizer, "--tool", tool, "--error-exitcode", str(ERROR_EXIT), "--print-limit", str(_PRINT_LIMIT), "--demangle", "no",
        "--show-backtrace", "device", "--destroy-on-device-error", "kernel", "--target-processes", "all",
    ]  # fmt: skip
    if tool == "memcheck" and leaks:
        line += ["--leak-check", "full"]
    if tool == "racecheck":
        line += ["--racecheck-report", "all"]  # where it is (analysis), and between which threads (hazard)
    for name in kernels:
        if not SYMBOL.fullmatch(name):
            raise ValueError(f"{name!r} is no symbol of a kernel; give it as launch reports do, mangled")
        line += ["--kernel-name", f"kne={name}"]
    if log_file:
        line += ["--log-file", log_file]
    return [*line, *program]


def sanitize(
    program: Sequence[str],
    tool: str = "memcheck",
    *,
    kernels: Sequence[str] = (),
    leaks: bool = False,
    sources: Mapping[str, str] | None = None,
    seconds: float = _SECONDS,
    environment: Mapping[str, str] | None = None,
    runner: Runner = run_tool,
    to_output: bool = False,
) -> SanitizerRun:
    """Runs a program under one of the tools; what goes wrong is a problem of the result.

    Args:
        sources: CUDA texts by file name, for the lines that violations show.
        seconds: wall limit.
        environment: further variables for the tool and the program.
        to_output: the report comes on standard output, among what the program prints: a runner's files may be its own.

    Raises:
        ValueError: as `command` does.
    """
    found_tool = find_tool("compute-sanitizer")
    with tempfile.TemporaryDirectory(prefix="kernelwright-sanitizer-") as folder:
        log = Path(folder, "report.txt")
        line = command(
            program,
            tool,
            sanitizer=str(found_tool or "compute-sanitizer"),
            kernels=kernels,
            leaks=leaks,
            log_file="" if to_output else str(log),
        )
        if found_tool is None:
            return SanitizerRun(tool, problems=(_MISSING,), command=tuple(line))
        try:
            done = runner(line, seconds=seconds, environment=tool_environment(**dict(environment or {})))
        except OSError as error:
            problem = Problem("compute-sanitizer", ProblemKind.FAILED, f"compute-sanitizer does not start: {error}.")
            return SanitizerRun(tool, problems=(problem,), command=tuple(line))
        text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    if to_output:
        text = done.stdout
    run = parse(text or done.stderr, tool, returncode=done.returncode, sources=sources)
    if done.timed_out:
        late = Problem(
            "compute-sanitizer", ProblemKind.TIMEOUT, f"compute-sanitizer did not end within {seconds:g} s.",
            "Check a smaller shape, or fewer kernels.",
        )  # fmt: skip
        run = replace(run, problems=(late, *(p for p in run.problems if p.kind is not ProblemKind.UNREADABLE)))
    return replace(run, command=tuple(line))
