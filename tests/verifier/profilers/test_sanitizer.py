"""compute-sanitizer's command line and reports; samples in `data/` follow NVIDIA's documentation of each tool."""

from __future__ import annotations

import stat
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.sandbox.emulator import native
from kernelwright.verifier.profilers import sanitizer
from kernelwright.verifier.profilers.sanitizer_report import ERROR_EXIT, Leak, SanitizerFinding, SanitizerRun, parse
from kernelwright.verifier.profilers.tools import ProblemKind

DATA = Path(__file__).with_name("data")
SOURCES = {"kernel.cu": "\n".join(f"  source of line {n};" for n in range(1, 30))}


def read(name: str, tool: str = "memcheck") -> SanitizerRun:
    return parse((DATA / f"{name}.txt").read_text(encoding="utf-8"), tool, returncode=ERROR_EXIT, sources=SOURCES)


def rows(run: SanitizerRun) -> list[tuple[str, str, int | None]]:
    return [(found.kernel, found.violation.kind, found.violation.line) for found in run.findings]


def by_kind(run: SanitizerRun, kind: str) -> SanitizerFinding:
    (found,) = [each for each in run.findings if each.violation.kind == kind]
    return found


def test_memcheck() -> None:
    run = read("memcheck")
    assert rows(run) == [
        ("_Z4fillPfi", "out_of_bounds", 3),
        ("unaligned_kernel", "misaligned", 6),
        ("ns::outer<(int)64, float>", "out_of_bounds", 9),
        ("affine_decrypt", "null_pointer", 42),
        ("", "trap", None),
    ]
    assert run.errors == 9
    assert not run.clean
    assert run.problems == ()


def test_one_violation_whole() -> None:
    found = read("memcheck").findings[0]
    violation = found.violation
    assert (found.file, found.severity) == ("kernel.cu", "error")
    assert (violation.thread, violation.block, violation.count) == ((31, 0, 0), (4, 0, 0), 2)
    assert violation.source == "source of line 3;"
    assert violation.message == (
        "thread (31, 0, 0) of block (4, 0, 0): out-of-bounds write of 4 bytes of global memory at 0x7f6510c00200, "
        "1 bytes after an array of 512 bytes"
    )
    assert violation.hint


def test_leaks_and_failed_calls_are_no_violations() -> None:
    run = read("memcheck")
    assert run.leaks == (Leak(64, 0x400200200, False), Leak(1024, 0x4012FFFF6, True))
    assert run.api_errors == ("cudaDeviceSynchronize gave cudaErrorLaunchFailure (719)",)


def test_racecheck() -> None:
    run = read("racecheck", "racecheck")
    assert rows(run) == [("_Z3sumPf", "shared_race", 5), ("warps", "shared_race", 15)]
    first, second = run.findings
    # the hazard names threads, the analysis counts all 124: one race
    assert (first.violation.thread, first.violation.block, first.violation.count) == ((0, 0, 0), (2, 0, 0), 124)
    assert "RAW" in first.violation.message
    assert (first.severity, second.severity) == ("error", "warning")
    assert (second.violation.count, second.violation.thread) == (4, None)
    assert len(run.notes) == 1  # INFO: no effect
    assert run.errors == 3


def test_synccheck() -> None:
    run = read("synccheck", "synccheck")
    assert rows(run) == [("_Z4bad1Pi", "divergent_barrier", 20), ("ThreadDivergence", "missing_lanes", 79)]
    assert run.findings[1].violation.thread == (37, 0, 0)


def test_initcheck() -> None:
    run = read("initcheck", "initcheck")
    assert rows(run) == [("copy", "uninitialised_read", None), ("KernelSharedError", "uninitialised_read", 7)]
    assert "8 bytes of shared memory" in run.findings[1].violation.message
    assert "80%" in run.notes[0]


@pytest.mark.parametrize("name", ["memcheck", "racecheck", "synccheck", "initcheck"])
def test_the_kinds_are_the_emulators(name: str) -> None:
    assert {found.violation.kind for found in read(name).findings} <= set(native.KINDS)


def test_nothing_found() -> None:
    run = parse("========= COMPUTE-SANITIZER\nall good\n========= ERROR SUMMARY: 0 errors\n", returncode=0)
    assert run.clean
    run = parse(
        "========= COMPUTE-SANITIZER\n========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n",
        "racecheck",
    )
    assert run.clean


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('========= Error: Device not supported. Please refer to the "Supported Devices" section', ProblemKind.UNSUPPORTED),
        ("========= Target application terminated before first instrumented API call", ProblemKind.NOTHING_MATCHED),
        ("========= Error: process didn't terminate successfully", ProblemKind.PROGRAM_FAILED),
        ("========= Internal Sanitizer Error: out of memory", ProblemKind.FAILED),
        ("========= Error: Something new.", ProblemKind.FAILED),
        ("", ProblemKind.UNREADABLE),
        ("========= COMPUTE-SANITIZER\n", ProblemKind.UNREADABLE),  # it was ended before its summary
        ("========= A form of tomorrow\n========= ERROR SUMMARY: 3 errors", ProblemKind.UNREADABLE),
    ],
)  # fmt: skip
def test_what_went_wrong_is_said(text: str, kind: ProblemKind) -> None:
    run = parse(text)
    assert [problem.kind for problem in run.problems] == [kind]
    assert not run.clean


def test_errors_that_are_not_understood_are_never_clean() -> None:
    run = parse("========= COMPUTE-SANITIZER\n========= ERROR SUMMARY: 0 errors\n", returncode=ERROR_EXIT)
    assert not run.clean


def test_hardware_exceptions_are_traps() -> None:
    text = (
        (DATA / "memcheck.txt")
        .read_text()
        .replace("Malloc/Free error encountered : Double free", "Illegal Instruction")
    )
    assert by_kind(parse(text), "trap").violation.message.endswith("Illegal Instruction")


@given(st.sampled_from(["memcheck", "racecheck", "synccheck", "initcheck"]), st.integers(0, 3000), st.text(max_size=80))
def test_damaged_reports_never_raise(name: str, at: int, junk: str) -> None:
    text = (DATA / f"{name}.txt").read_text(encoding="utf-8")
    run = parse(text[:at] + junk + text[at + len(junk) :], name, sources=SOURCES)
    assert run.to_json()["tool"] == name


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "row",
    [
        "at " + "x+0x1 in " * 30000,
        "Program hit " + "due to " * 50000,
        "Race reported between Write access at " * 5000,
        "w" * 300000,
        "RACECHECK SUMMARY: " + "(" * 100000,
    ],
)
def test_long_lines_take_no_time_of_their_own(row: str) -> None:
    """Patterns with several open ends took minutes on such lines."""
    run = parse(f"========= Invalid __global__ read of size 4 bytes\n=========     {row}\n========= {row}\n")
    assert [found.violation.kind for found in run.findings][:1] == ["out_of_bounds"]


def test_the_command_line() -> None:
    line = sanitizer.command(["prog", "--tool", "x"], "memcheck", kernels=["_Z1kPf"], leaks=True, log_file="/tmp/r")
    given_with = dict(pairwise(line))
    assert given_with["--error-exitcode"] == str(ERROR_EXIT)
    assert given_with["--kernel-name"] == "kne=_Z1kPf"
    assert given_with["--leak-check"] == "full"
    assert line[-3:] == ["prog", "--tool", "x"]
    assert "--leak-check" not in sanitizer.command(["prog"], "racecheck", leaks=True)
    for program, tool, kernels in ([], "memcheck", []), (["p"], "leakcheck", []), (["p"], "memcheck", ["a,b"]):
        with pytest.raises(ValueError, match=r"\w"):
            sanitizer.command(program, tool, kernels=kernels)


def test_a_run_of_the_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "compute-sanitizer"
    tool.write_text(
        f"#!{sys.executable}\nimport pathlib, sys\nargs = sys.argv[1:]\n"
        "print('========= ERROR SUMMARY: 0 errors')  # the program, which lies\n"
        f"text = pathlib.Path({str(DATA)!r}, args[args.index('--tool') + 1] + '.txt').read_text()\n"
        "pathlib.Path(args[args.index('--log-file') + 1]).write_text(text)\n"
        "sys.exit(int(args[args.index('--error-exitcode') + 1]))\n",
        encoding="utf-8",
    )
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    run = sanitizer.sanitize(["prog"], "synccheck", seconds=60)
    assert rows(run) == rows(read("synccheck"))
    assert run.errors == 2
    assert run.command[-1] == "prog"


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sanitizer, "find_tool", lambda name: None)
    run = sanitizer.sanitize(["prog"])
    assert [problem.kind for problem in run.problems] == [ProblemKind.MISSING]
    assert not run.clean
