"""The commands that run CUDA code for its own sake: `run` and `sanitize`, and what `profile` shares with them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kernelwright.cli.base import Function, common_flags, console, print_json, start

if TYPE_CHECKING:
    from rich.console import Console

    from kernelwright.config import Settings
    from kernelwright.launches import KernelLaunches, Program, PythonKernel
    from kernelwright.sandbox.launch import LaunchOptions

__all__ = [
    "code_to_run",
    "existing",
    "exit_code",
    "findings_json",
    "launches_json",
    "pass_output_on",
    "program_flags",
    "run",
    "sanitize",
]

_SCHEDULES = 3


def program_flags(function: Function) -> Function:
    """Adds what a program is built and run with."""
    function = click.option(
        "--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
        help="End a program that runs longer (default: no limit; a single launch has call_seconds).",
    )(function)  # fmt: skip
    function = click.option(
        "-X", "--nvcc-option", "options", multiple=True, metavar="OPTION",
        help="An option of nvcc for building a program: -X -DN=8 -X -std=c++20. May be repeated.",
    )(function)  # fmt: skip
    function = click.option(
        "--isolation",
        type=click.Choice(["auto", "bubblewrap", "docker", "process"]),
        help="How the process is fenced in (default: a program not at all, so that it reaches its files; a kernel file as "
        "strongly as works here).",
    )(function)
    return click.option(
        "--gpu", metavar="NAME", help="GPU to compile for and to model (default: H200; see: kernelwright gpus)."
    )(function)


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.cu")
@click.argument("arguments", nargs=-1, metavar="[-- ARGUMENT...]")
@program_flags
@common_flags
def run(
    file: Path,
    arguments: tuple[str, ...],
    gpu: str | None,
    isolation: str | None,
    options: tuple[str, ...],
    timeout: float | None,
    as_json: bool,
    verbose: bool,
    debug: bool,
) -> int:
    """Run a CUDA program on the CPU.

    FILE.cu has a main of its own. Its host code is compiled by the machine's C++ compiler, its kernels run on the
    emulator with every check on; input, output and exit code are the program's. If a kernel did something that CUDA does not
    allow, that is said at the end, and an exit code of 0 becomes 1. Writes of one value by several warps or blocks are noted;
    they change no exit code.

    \b
    Examples:
      kernelwright run saxpy.cu
      kernelwright run reduce.cu -X -DBLOCK=128 -- 1000000 --check
    """
    from kernelwright.launches import Program, findings, notes
    from kernelwright.sandbox.launch import LaunchOptions

    settings = start(verbose=verbose, gpu=gpu, isolation=isolation)
    program = Program(_cuda_file(file), arguments, options, timeout, capture=as_json, isolation=isolation)
    (done,) = program.runs(settings, [LaunchOptions()])
    runs = [("forward", done.reports)]
    found, noted = findings(runs), notes(runs)
    if as_json:
        print_json({**launches_json(program, done), **findings_json(found, noted)})
    else:
        if found:
            _show_findings(found, 1, console(True))
        _show_notes(noted, 1, console(True))
        _show_signal(done, console(True))
    return exit_code(done) or (1 if found else 0)


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE|ID")
@click.argument("rest", nargs=-1, metavar="[KERNEL | -- ARGUMENT...]")
@click.option(
    "--schedules", type=click.IntRange(1, 100), default=_SCHEDULES, show_default=True, metavar="N",
    help="Run it with N orders of blocks and warps: forward, reversed, then random ones.",
)  # fmt: skip
@click.option("--seed", type=int, help="Of the random orders (default: drawn, and told).")
@program_flags
@common_flags
def sanitize(
    file: Path,
    rest: tuple[str, ...],
    schedules: int,
    seed: int | None,
    gpu: str | None,
    isolation: str | None,
    options: tuple[str, ...],
    timeout: float | None,
    as_json: bool,
    verbose: bool,
    debug: bool,
) -> int:
    """Look for races, bad accesses and broken barriers.

    FILE is a CUDA program (.cu with a main), followed by its arguments; or a task, followed by a KERNEL file that is
    called on its inputs; or the id of a stored run or kernel. Everything runs several times, with blocks and warps in other orders, since one order can hide
    a defect. The exit code is 0 if nothing was found and a program ended with 0.

    \b
    Examples:
      kernelwright sanitize reduce.cu -- 1000000
      kernelwright sanitize my_module.py kernel.py --schedules 10
    """
    import secrets

    from kernelwright.launches import findings, notes
    from kernelwright.launches import schedules as orders

    settings = start(verbose=verbose, gpu=gpu, isolation=isolation)
    code = code_to_run(settings, file, rest, options, timeout, isolation)
    seed = secrets.randbelow(2**31) if seed is None else seed
    screen, every = console(as_json), orders(schedules, seed)
    done_with = list(code.runs(settings, every))
    first = done_with[0]
    runs = [(_order(options_of_run), done.reports) for options_of_run, done in zip(every, done_with, strict=True)]
    if not as_json:
        pass_output_on(first)
    found, noted = findings(runs), notes(runs)
    ended_with = exit_code(first)
    if as_json:
        print_json(
            {
                **launches_json(code, first),
                "schedules": [name for name, _ in runs],
                "seed": seed,
                **findings_json(found, noted),
            }
        )
        return 1 if found else ended_with
    if found:
        _show_findings(found, len(runs), screen)
    else:
        from kernelwright.words import counted

        blocks = sum(report.counters.blocks for _, reports in runs for report in reports)
        screen.print(
            f"Nothing found in {counted(len(first.reports), 'launch', 'launches')} under {counted(len(runs), 'schedule')} "
            f"({counted(blocks, 'block')} in all, seed {seed}).",
            style="green" if not ended_with else "yellow",
        )
    _show_notes(noted, len(runs), screen)
    if first.program is not None:
        _show_leaks(first.program.leaks, screen)
        if ended_with:
            screen.print(f"The program ended with exit code {ended_with}.", style="bold red")
        _show_signal(first, screen)
    return 1 if found else ended_with


def code_to_run(
    settings: Settings,
    file: Path,
    rest: tuple[str, ...],
    options: tuple[str, ...],
    timeout: float | None,
    isolation: str | None,
) -> Program | PythonKernel:
    """What is to run: a program, a task with a kernel, or a stored kernel with its task."""
    from kernelwright.bench_tasks.reading import read_any_task
    from kernelwright.errors import MisuseError
    from kernelwright.jobs import open_store, stored_kernel
    from kernelwright.launches import Program, PythonKernel
    from kernelwright.sandbox.kernel_file import read_kernel

    if file.suffix == ".cu":
        return Program(_cuda_file(file), rest, options, timeout, capture=True, isolation=isolation)
    if not rest and not file.suffix and not file.exists():
        with open_store(settings, to_read=True) as store:
            stored = stored_kernel(store, str(file))
        return PythonKernel(stored.task, stored.kernel)
    if len(rest) != 1:
        raise MisuseError(
            f"{file} is no .cu program, so a kernel file belongs behind it; {len(rest)} were given.",
            mend="Give a program (FILE.cu), a task and a kernel (TASK.py KERNEL.py), or the id of a stored kernel.",
        )
    task = read_any_task(file)
    return PythonKernel(task, read_kernel(Path(rest[0]), task=task))


def _cuda_file(file: Path) -> Path:
    return existing(file, "a CUDA program")


def existing(file: Path, what: str) -> Path:
    from kernelwright.errors import NotFoundError

    if not file.is_file():
        found = "it is a directory" if file.is_dir() else "there is no such file"
        raise NotFoundError(f"{found}.", path=str(file), mend=f"Give the path of {what}.")
    return file


def exit_code(done: KernelLaunches) -> int:
    """The program's own; 128 and the signal's number if one ended it, as a shell says it."""
    if done.program is None:
        return 0
    code = done.program.exit_code
    return 128 - code if code < 0 else code


def _order(options: LaunchOptions) -> str:
    """The schedule for people; a random one with its seed."""
    return f"random {options.schedule_seed}" if options.schedule == "random" else options.schedule


def pass_output_on(done: KernelLaunches) -> None:
    if done.program is not None:
        sys.stdout.write(done.program.stdout)
        sys.stderr.write(done.program.stderr)


def _show_findings(found: list[Any], total: int, screen: Console) -> None:
    from kernelwright.render_launches import finding_view

    for each in found:
        screen.print(finding_view(each, total))
    screen.print(f"{len(found)} found." if len(found) > 1 else "1 found.", style="bold red")


def _show_notes(noted: list[Any], total: int, screen: Console) -> None:
    """What is allowed and worth knowing: never the reason of an exit code."""
    from kernelwright.render_launches import finding_view

    for each in noted:
        screen.print(finding_view(each, total, note=True))


def _show_signal(done: KernelLaunches, screen: Console) -> None:
    if done.program is not None and done.program.exit_code < 0:
        import signal

        name = signal.Signals(-done.program.exit_code).name
        screen.print(f"The program's host code was ended by {name}.", style="bold red")


def _show_leaks(leaks: tuple[int, ...] | None, screen: Console) -> None:
    from kernelwright.words import counted

    if leaks:
        screen.print(
            f"Device memory never freed: {counted(len(leaks), 'allocation')}, {sum(leaks):,} bytes.", style="yellow"
        )


def launches_json(code: Program | PythonKernel, done: KernelLaunches) -> dict[str, Any]:
    view: dict[str, Any] = {"name": code.name, "launches": [report.to_json() for report in done.reports]}
    if done.program is not None:
        view |= {
            "exit_code": done.program.exit_code,
            "stdout": done.program.stdout,
            "stderr": done.program.stderr,
            "leaks": None if done.program.leaks is None else list(done.program.leaks),
            "seconds": done.program.seconds,
        }
    return view


def findings_json(found: list[Any], noted: list[Any]) -> dict[str, Any]:
    return {"violations": [_finding_json(each) for each in found], "notes": [_finding_json(each) for each in noted]}


def _finding_json(finding: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return {"kernel": finding.kernel, "schedules": list(finding.schedules), **asdict(finding.violation)}
