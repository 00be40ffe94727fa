"""Nsight Compute as a tool: its command line, its CSV, and what it found as a measured `Profile`.

Metrics have the names and units of `verifier.model.metrics`; instruction counts are of machine code (SASS) where the emulator's are of
PTX. Options, pages and messages as in NVIDIA's "Nsight Compute CLI" (2020.1 and later; `ncu`), metric names as in its "Profiling
Guide" and in the table of that document from nvprof's metrics.
"""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernelwright.sandbox.launch import Counters, KernelResources, LaunchReport
from kernelwright.verifier.evaluation import Profile, TimingKind
from kernelwright.verifier.model.metric_table import describe
from kernelwright.verifier.profilers.ncu_metrics import ALIASES, MEASURED_ONLY, METRICS, SECTIONS
from kernelwright.verifier.profilers.tools import (
    OUTPUT_BYTES,
    SYMBOL,
    Problem,
    ProblemKind,
    Runner,
    find_tool,
    run_tool,
    tool_environment,
)
from kernelwright.verifier.profilers.units import UnknownUnit, dimension, number, to_base

__all__ = [
    "MEASURED_ONLY",
    "METRICS",
    "SECTIONS",
    "NcuLaunch",
    "NcuRun",
    "Selection",
    "command",
    "parse",
    "profile",
    "read_report",
]

_SECONDS = 600.0  # wall limit; every launch is replayed some ten times, with its memory saved and restored
_ATTEMPTS = 12  # runs that may end at once for a metric that the chip does not have


@dataclass(frozen=True)
class Selection:
    """Which launches are profiled."""

    kernels: tuple[str, ...] = ()
    """Symbols as in the machine code (mangled, or plain for `extern "C"`); empty for all."""
    skip: int = 0
    """Launches of those, from the first on, that are left out: warm-up."""
    count: int | None = None
    """The most that are profiled; None for all."""


@dataclass(frozen=True)
class NcuLaunch:
    """One profiled launch."""

    kernel: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    device: int
    """Its number among those that CUDA shows."""
    compute_capability: str
    """``9.0``."""
    metrics: Mapping[str, float]
    """By our names, in our units."""
    missing: tuple[str, ...] = ()
    """Metrics that were asked for and have no value here."""

    def report(self) -> LaunchReport:
        """As a report of a launch, with the counters that the GPU has; those it has none for are 0, and instructions are of SASS."""
        m = self.metrics

        def count(name: str) -> int:
            return round(m.get(name, 0.0))

        def flops(letter: str, lanes: int) -> int:
            add, mul, fma = (
                count(f"smsp__sass_thread_inst_executed_op_{letter}{op}_pred_on.sum") for op in ("add", "mul", "fma")
            )
            return lanes * (add + mul + 2 * fma)

        of_pipes = {"fp32": flops("f", 1), "fp64": flops("d", 1), "fp16": flops("h", 2)}
        ld, st = (f"l1tex__t_{{}}_pipe_lsu_mem_global_op_{op}.sum" for op in ("ld", "st"))
        sized = "smsp__sass_average_data_bytes_per_sector_mem_global_op_{}.ratio"
        registers = m.get("launch__registers_per_thread")
        return LaunchReport(
            kernel=self.kernel,
            grid=self.grid,
            block=self.block,
            dynamic_shared=count("launch__shared_mem_per_block_dynamic"),
            counters=Counters(
                flops={name: n for name, n in of_pipes.items() if n},
                global_load_requests=count(ld.format("requests")),
                global_load_sectors=count(ld.format("sectors")),
                global_load_bytes=round(m.get(ld.format("sectors"), 0.0) * m.get(sized.format("ld"), 0.0)),
                global_store_requests=count(st.format("requests")),
                global_store_sectors=count(st.format("sectors")),
                global_store_bytes=round(m.get(st.format("sectors"), 0.0) * m.get(sized.format("st"), 0.0)),
                shared_load_requests=count("smsp__inst_executed_op_shared_ld.sum"),
                shared_load_wavefronts=count("l1tex__data_pipe_lsu_wavefronts_mem_shared_op_ld.sum"),
                shared_store_requests=count("smsp__inst_executed_op_shared_st.sum"),
                shared_store_wavefronts=count("l1tex__data_pipe_lsu_wavefronts_mem_shared_op_st.sum"),
                warps=count("smsp__warps_launched.sum"),
                blocks=self.grid[0] * self.grid[1] * self.grid[2],
            ),
            resources=None
            if registers is None
            else KernelResources(round(registers), static_shared=count("launch__shared_mem_per_block_static")),
        )


@dataclass(frozen=True)
class NcuRun:
    """What one run under the profiler gave."""

    launches: tuple[NcuLaunch, ...] = ()
    problems: tuple[Problem, ...] = ()
    command: tuple[str, ...] = field(default=(), repr=False)

    def to_profile(self) -> Profile:
        """The launches as a measured profile."""
        return Profile(
            kind=TimingKind.MEASURED,
            launches=[launch.report().to_json() for launch in self.launches],
            metrics=[dict(launch.metrics) for launch in self.launches],
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {"profile": self.to_profile().model_dump(mode="json"), "problems": [p.to_json() for p in self.problems]}


def command(
    program: Sequence[str],
    *,
    ncu: str = "ncu",
    selection: Selection | None = None,
    metrics: Sequence[str] = (*METRICS, *MEASURED_ONLY),
    sections: Sequence[str] = SECTIONS,
    log_file: str = "",
    keep_caches: bool = False,
) -> list[str]:
    """The command line that profiles a program.

    Clocks are left as they are, so that times are those of an ordinary run; caches are flushed before each replay unless
    `keep_caches`. Names are filtered and printed mangled, as launch reports have them.

    Args:
        program: what is run, with its arguments.
        log_file: where the report goes; empty for standard output, where the program's own output is.

    Raises:
        ValueError: no program, a kernel's name that is no symbol, or a negative number of launches.
    """
    selection = selection or Selection()
    if not program:
        raise ValueError("a program to profile is needed, and none was given")
    if selection.skip < 0 or (selection.count is not None and selection.count < 1):
        raise ValueError(f"launches to skip can't be negative, nor those to profile fewer than 1: {selection}")
    for name in selection.kernels:
        if not SYMBOL.fullmatch(name):
            raise ValueError(f"{name!r} is no symbol of a kernel; give it as launch reports do, mangled")
    line = [
        ncu, "--csv", "--page", "raw", "--print-units", "base", "--print-kernel-base", "mangled", "--clock-control", "none",
        "--cache-control", "none" if keep_caches else "all", "--target-processes", "all", "--replay-mode", "kernel",
    ]  # fmt: skip
    if selection.kernels:
        symbols = "|".join(re.sub(r"\$", r"\\$", name) for name in selection.kernels)
        line += ["--kernel-name-base", "mangled", "--kernel-name", f"regex:^({symbols})$"]
    if selection.skip:
        line += ["--launch-skip", str(selection.skip)]
    if selection.count is not None:
        line += ["--launch-count", str(selection.count)]
    if metrics:
        line += ["--metrics", ",".join(metrics)]
    for section in sections:
        line += ["--section", section]
    if log_file:
        line += ["--log-file", log_file]
    return [*line, *program]


def profile(
    program: Sequence[str],
    *,
    selection: Selection | None = None,
    seconds: float = _SECONDS,
    keep_caches: bool = False,
    environment: Mapping[str, str] | None = None,
    runner: Runner = run_tool,
    to_output: bool = False,
) -> NcuRun:
    """Runs a program under Nsight Compute.

    A metric that the chip does not have is left out and told; whatever else goes wrong is a problem of the result.

    Args:
        seconds: wall limit of each run.
        environment: further variables for the tool and the program.
        to_output: the report comes on standard output, among what the program prints: a runner's files may be its own.

    Raises:
        ValueError: as `command` does.
    """
    tool = find_tool("ncu", also=("opt/nvidia/nsight-compute/*/ncu",))
    if tool is None:
        return NcuRun(problems=(_MISSING,))
    wanted = [*METRICS, *MEASURED_ONLY]
    left_out: list[str] = []
    for _ in range(_ATTEMPTS):
        with tempfile.TemporaryDirectory(prefix="kernelwright-ncu-") as folder:
            log = Path(folder, "ncu.csv")
            line = command(
                program, ncu=str(tool), selection=selection, metrics=wanted, log_file="" if to_output else str(log),
                keep_caches=keep_caches,
            )  # fmt: skip
            try:
                done = runner(line, seconds=seconds, environment=tool_environment(**dict(environment or {})))
            except OSError as error:
                return NcuRun(
                    problems=(Problem("ncu", ProblemKind.FAILED, f"Nsight Compute does not start: {error}."),)
                )
            text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        said = () if to_output else _said_by_tool(done.stdout)
        found = parse(
            "\n".join((done.stdout if to_output else text, *said, *_said_by_tool(done.stderr))), wanted=wanted
        )
        unknown = [name for problem in found.problems for name in _named(problem) if name in wanted]
        if unknown and not found.launches:
            for name in unknown:
                wanted[wanted.index(name)] = ALIASES.get(name, "")
            left_out += [name for name in unknown if name not in ALIASES]
            wanted = [name for name in wanted if name]
            continue
        break
    problems = list(found.problems)
    if done.timed_out:
        problems.insert(
            0, Problem("ncu", ProblemKind.TIMEOUT, f"Nsight Compute did not end within {seconds:g} s.", _FEWER)
        )
    elif done.returncode and not problems:
        problems.append(Problem("ncu", ProblemKind.FAILED, f"Nsight Compute ended with exit code {done.returncode}."))
    if left_out:
        names = ", ".join(left_out)
        problems.append(Problem("ncu", ProblemKind.UNKNOWN_METRIC, f"{_NO_METRIC}{names}: left out."))
    return NcuRun(found.launches, tuple(problems), tuple(line))


def read_report(file: Path) -> NcuRun:
    """What a file that Nsight Compute wrote with ``--csv --page raw`` says; a file that can't be read is a problem."""
    try:
        size = file.stat().st_size
        if size > OUTPUT_BYTES:
            message = f"the report has {size:,} bytes, over the limit of {OUTPUT_BYTES:,}."
            return NcuRun(problems=(Problem("ncu", ProblemKind.UNREADABLE, message, _FEWER),))
        text = file.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        return NcuRun(
            problems=(Problem("ncu", ProblemKind.UNREADABLE, f"the report can't be read: {error.strerror}."),)
        )
    return parse(text)


def _named(problem: Problem) -> list[str]:
    """The metrics that a problem names as unknown."""
    if problem.kind is not ProblemKind.UNKNOWN_METRIC:
        return []
    return problem.message.removeprefix(_NO_METRIC).rstrip(".").split(", ")


def _said_by_tool(text: str) -> Iterator[str]:
    """The tool's own lines among a program's output: messages, which it also writes when it can't write the log."""
    return (row for row in text.splitlines() if re.match(r"==(?:ERROR|WARNING)==", row))


_NO_METRIC = "this chip has no metric "
_FEWER = "Profile fewer launches, or a smaller shape."
_MISSING = Problem(
    "ncu",
    ProblemKind.MISSING,
    "Nsight Compute (ncu) is not installed.",
    "It comes with the CUDA toolkit and from NVIDIA's site.",
)
_MESSAGES: tuple[tuple[str, ProblemKind, str, str], ...] = (
    (
        r"ERR_NVGPUCTRPERM", ProblemKind.NO_PERMISSION, "the driver keeps this GPU's performance counters for administrators.",
        "Run as root (in a container: with the capability SYS_ADMIN), or load the driver with NVreg_RestrictProfilingToAdminUsers=0.",
    ),
    (
        r"failed to connect to the CUDA driver|LibraryNotLoaded|[Nn]o CUDA-capable device|not supported in the installed CUDA driver"
        r"|[Dd]river is not (?:installed|compatible)|libcuda\.so", ProblemKind.NO_DEVICE,
        "Nsight Compute finds no NVIDIA driver that it can use.", "Look at nvidia-smi: driver and CUDA release must fit each other.",
    ),
    (
        r"[Pp]rofiling is not supported on (?:this )?device|[Cc]hip is not supported|[Uu]nsupported GPU", ProblemKind.UNSUPPORTED,
        "this version of Nsight Compute does not know this GPU.", "`ncu --list-chips` says which it knows.",
    ),
    (
        r"driver resource was unavailable|already in use by another", ProblemKind.BUSY,
        "another tool holds the performance counters of this GPU.", "Stop monitoring (DCGM, another profiler) meanwhile.",
    ),
    (
        r"No kernels were profiled", ProblemKind.NOTHING_MATCHED, "no launch was profiled.",
        "Look at the kernels' names and at how many launches were to be skipped.",
    ),
    (
        r"The application returned an error code", ProblemKind.PROGRAM_FAILED, "the program under Nsight Compute ended with an error.",
        "Run it alone first.",
    ),
)  # fmt: skip


def _problems(messages: Sequence[str], wanted: Sequence[str]) -> list[Problem]:
    """What the tool's own messages say, each kind once."""
    found: dict[tuple[ProblemKind, str], Problem] = {}
    for row in messages:
        if "Failed to find metric" in row:
            named = [name for name in wanted if re.search(rf"(?<![\w.]){re.escape(name.partition('.')[0])}(?!\w)", row)]
            exact = [name for name in named if name in row.replace("\\", "")] or named
            what = ", ".join(exact) or row.partition("metric")[2].strip()
            problem = Problem("ncu", ProblemKind.UNKNOWN_METRIC, f"{_NO_METRIC}{what}.")
            found.setdefault((problem.kind, what), problem)
            continue
        for pattern, kind, message, mend in _MESSAGES:
            if re.search(pattern, row):
                found.setdefault((kind, ""), Problem("ncu", kind, message, mend))
                break
        else:
            if row.startswith("==ERROR=="):
                said = row.removeprefix("==ERROR==").strip().rstrip(".")[:300]
                found.setdefault(
                    (ProblemKind.FAILED, said), Problem("ncu", ProblemKind.FAILED, f"Nsight Compute says: {said}.")
                )
    listed = list(found.values())
    if len(listed) > 1:  # that nothing was profiled then follows from something else
        listed = [p for p in listed if p.kind is not ProblemKind.NOTHING_MATCHED]
    return listed


def parse(text: str, *, wanted: Sequence[str] = (*METRICS, *MEASURED_ONLY)) -> NcuRun:
    """What a report of ``ncu --csv --page raw`` says: launches, and problems told by it or found in it.

    Lines of the tool (``==PROF==``) and of the program may stand around the table, and there may be several tables.

    Args:
        wanted: the names that were asked for.
    """
    rows = [row for row in text.replace("\x00", "").splitlines() if row]
    problems = _problems([row for row in rows if row.startswith(("==ERROR==", "==WARNING=="))], wanted)
    launches: list[NcuLaunch] = []
    odd: dict[str, Problem] = {}
    for header, units, table in _tables([row for row in rows if row.startswith('"')]):
        if units is None:
            odd["units"] = Problem(
                "ncu", ProblemKind.UNREADABLE, "the report has no row of units, so its numbers can't be read.",
                "It must be made with --csv --page raw.",
            )  # fmt: skip
            continue
        launches += [_launch(dict(zip(header, row, strict=False)), units, wanted, odd) for row in table]
    if not launches and not problems and not odd:
        odd[""] = Problem("ncu", ProblemKind.UNREADABLE, "the report holds no table of launches.")
    return NcuRun(tuple(launches), (*problems, *odd.values()))


def _tables(rows: Sequence[str]) -> Iterator[tuple[list[str], dict[str, str] | None, list[list[str]]]]:
    """(header, units by column, rows) of each table."""
    header: list[str] = []
    units: dict[str, str] | None = None
    table: list[list[str]] = []
    for text in rows:
        try:
            (row,) = csv.reader([text])  # one by one: a quote that a program leaves open ends with its line
        except (csv.Error, ValueError):
            continue
        if row[0] == "ID" and "Kernel Name" in row:
            if header:
                yield header, units, table
            header, units, table = row, None, []
        elif header and len(row) == len(header):
            if not row[0] and units is None and not table:
                units = dict(zip(header, row, strict=True))
            elif row[0].isdecimal():
                table.append(row)
    if header:
        yield header, units, table


def _launch(
    row: Mapping[str, str], units: Mapping[str, str], wanted: Sequence[str], odd: dict[str, Problem]
) -> NcuLaunch:
    """One row; `odd` gathers what could not be understood, once a metric."""
    ours = {alias: name for name, alias in ALIASES.items()}
    metrics: dict[str, float] = {}
    for name in dict.fromkeys((*wanted, *ours)):
        value = number(row[name]) if name in row else None
        if value is None:
            continue
        known = ours.get(name, name)
        expected = MEASURED_ONLY.get(known) or describe(known)[0]
        try:
            based, found = to_base(value, units.get(name, ""))
        except UnknownUnit:
            found = "unknown"
        if found.partition("/")[0] != dimension(expected) and value:
            odd[name] = Problem(
                "ncu",
                ProblemKind.UNREADABLE,
                f"{name} has the unit {units.get(name, '')!r}, where {expected!r} was expected: left out.",
            )
        elif found != "unknown":
            metrics.setdefault(known, based)
    grid, block = _sizes(row.get("Grid Size", "")), _sizes(row.get("Block Size", ""))
    blocks, threads = grid[0] * grid[1] * grid[2], block[0] * block[1] * block[2]
    for name, size in (
        ("launch__grid_size", blocks), ("launch__block_size", threads), ("launch__thread_count", blocks * threads),
    ):  # fmt: skip
        if size:
            metrics.setdefault(name, float(size))
    return NcuLaunch(
        kernel=row.get("Kernel Name", ""),
        grid=grid,
        block=block,
        device=int(row["Device"]) if re.fullmatch(r"[0-9]{1,4}", row.get("Device", "")) else 0,
        compute_capability=row.get("CC", ""),
        metrics=metrics,
        missing=tuple(dict.fromkeys(known for name in wanted if (known := ours.get(name, name)) not in metrics)),
    )


def _sizes(text: str) -> tuple[int, int, int]:
    """``(256, 1, 1)``; zeros if it is something else."""
    found = re.findall(r"[0-9]{1,10}", text)[:3]
    x, y, z = (*map(int, found), *(1,) * (3 - len(found))) if found else (0, 0, 0)
    return x, y, z
