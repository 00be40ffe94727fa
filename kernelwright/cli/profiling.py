"""The command `profile`: what kernels cost, what the compiler made of them, and where they stand against the GPU's roofs."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kernelwright.cli.base import common_flags, console, print_json, start
from kernelwright.cli.programs import (
    code_to_run,
    existing,
    exit_code,
    findings_json,
    launches_json,
    pass_output_on,
    program_flags,
)

if TYPE_CHECKING:
    from rich.console import Console

    from kernelwright.config import Settings
    from kernelwright.verifier.profilers.bounds import Roofline
    from kernelwright.verifier.profilers.machine_code import CompiledKernel
    from kernelwright.verifier.profilers.tools import Problem

__all__ = ["profile"]


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE|ID")
@click.argument("rest", nargs=-1, metavar="[KERNEL | -- ARGUMENT...]")
@click.option("--line", "by_line", is_flag=True, help="Annotate the source: what each line costs.")
@click.option("--kernel", "only", metavar="NAME", help="Show only kernels whose name contains NAME.")
@click.option(
    "--blocks", type=click.IntRange(2), metavar="N",
    help="Run only N blocks of each grid, chosen at random, with the first and the last; for large grids.",
)  # fmt: skip
@click.option("--metrics", "all_metrics", is_flag=True, help="Print every metric, under Nsight Compute's names.")
@click.option(
    "--machine-code", is_flag=True,
    help="Say what the compiler made of each kernel: instructions, widths of accesses, registers, bank conflicts. Needs "
    "pip install 'kernelwright[sass]', no GPU.",
)  # fmt: skip
@click.option(
    "--roofline", "picture", type=click.Path(path_type=Path), metavar="FILE.svg",
    help="Draw where each kernel stands against the GPU's roofs (.svg, .png or .pdf), and say in words what limits it. Needs "
    "pip install 'kernelwright[plot]'.",
)  # fmt: skip
@program_flags
@common_flags
def profile(
    file: Path,
    rest: tuple[str, ...],
    by_line: bool,
    only: str | None,
    blocks: int | None,
    all_metrics: bool,
    machine_code: bool,
    picture: Path | None,
    gpu: str | None,
    isolation: str | None,
    options: tuple[str, ...],
    timeout: float | None,
    as_json: bool,
    verbose: bool,
    debug: bool,
) -> int:
    """Show what each kernel costs, and where.

    FILE is a CUDA program (.cu with a main), followed by its arguments; or a task, followed by a KERNEL file that is called
    on its inputs; or the id of a stored run or kernel. Counters are of PTX instructions that were executed; times are modelled, never measured.

    FILE may also be what Nsight Compute wrote on a GPU (.csv, of `ncu --csv --page raw`); then everything is what that GPU measured, and
    --gpu names it for its roofs.

    \b
    Examples:
      kernelwright profile sgemm.cu --line
      kernelwright profile sgemm.cu --machine-code --roofline sgemm.svg
      kernelwright profile examples/softmax.py softmax.kernel.py --line --gpu A100
    """
    from rich.text import Text

    from kernelwright.launches import findings, notes
    from kernelwright.render_launches import annotated_source, number, profile_view
    from kernelwright.render_machine_code import machine_code_view
    from kernelwright.sandbox.launch import LaunchOptions
    from kernelwright.sandbox.symbols import plain_name
    from kernelwright.verifier.model.calibration import calibrated_gpu
    from kernelwright.verifier.model.kernel_profile import profile_kernels
    from kernelwright.verifier.profilers.bounds import modelled_roofline, summary
    from kernelwright.words import one_line

    settings = start(verbose=verbose, gpu=gpu, isolation=isolation)
    if picture is not None:
        _check_picture(picture)
    if file.suffix.lower() == ".csv":
        return _measured(file, settings, only, picture, all_metrics=all_metrics, as_json=as_json)
    code = code_to_run(settings, file, rest, options, timeout, isolation)
    recorded = LaunchOptions(profile_lines=by_line or as_json, sample_blocks=blocks, keep_code=machine_code)
    (done,) = code.runs(settings, [recorded])
    card = calibrated_gpu(settings.gpu, settings.data)
    profiles = [p for p in profile_kernels(done.reports, card) if only is None or only in p.name]
    compiled: list[CompiledKernel | Problem] = []
    if machine_code:
        from kernelwright.verifier.profilers.machine_code import LaunchShape, of_launches

        shapes = [LaunchShape(p.report.kernel, p.report.block, p.report.dynamic_shared) for p in profiles]
        compiled = of_launches(shapes, done.reports, card)
    runs = [("forward", done.reports)]
    found = findings(runs)
    if as_json:
        print_json(
            {
                **launches_json(code, done),
                "gpu": card.name,
                "kernels": [
                    p.to_json() | ({"machine_code": each.to_json()} if each is not None else {})
                    for p, each in zip_longest(profiles, compiled)
                ],
                **(_draw(modelled_roofline(profiles, card), picture) if picture is not None else {}),
                **findings_json(found, notes(runs)),
            }
        )
        return exit_code(done)
    screen = console(as_json)
    pass_output_on(done)
    if not profiles:
        names = ", ".join(sorted({one_line(plain_name(report.kernel)) for report in done.reports}))
        screen.print(
            f"No kernel with {only!r} in its name was launched, but: {names}." if names else "No kernel was launched."
        )
        return exit_code(done) or (1 if names else 0)
    for each, found_code in zip_longest(profiles, compiled):
        screen.print(profile_view(each, card.name))
        if found_code is not None:
            screen.print(machine_code_view(found_code, code.sources()))
        if by_line:
            screen.print(annotated_source(each.lines, code.sources()))
        if all_metrics:
            for name, value in sorted(each.metrics.items()):
                screen.print(Text(f"  {name:<75} {number(value):>18}"))
        screen.print()
    if picture is not None:
        roofline = modelled_roofline(profiles, card)
        for words in summary(roofline):
            screen.print(Text(one_line(words, 2000)))
        _tell_picture(_draw(roofline, picture), picture, screen)
    if found:
        screen.print(f"{len(found)} violations were found: see kernelwright sanitize.", style="bold red")
    return exit_code(done)


def _measured(
    file: Path, settings: Settings, only: str | None, picture: Path | None, *, all_metrics: bool, as_json: bool
) -> int:
    """What Nsight Compute wrote on a GPU: no kernel is run."""
    from rich.text import Text

    from kernelwright.errors import MisuseError
    from kernelwright.render_launches import number
    from kernelwright.sandbox.symbols import plain_name
    from kernelwright.verifier.model.gpus import find_gpu
    from kernelwright.verifier.profilers.bounds import measured_roofline, other_gpu, summary
    from kernelwright.verifier.profilers.ncu import read_report
    from kernelwright.words import one_line

    card = find_gpu(settings.gpu)
    run = read_report(existing(file, "a report of Nsight Compute"))
    chosen = [launch for launch in run.launches if only is None or only in plain_name(launch.kernel)]
    if not chosen:
        names = sorted({plain_name(launch.kernel) for launch in run.launches})
        why = (
            f"it has no kernel with {only!r} in its name, but {', '.join(names)}."
            if names
            else " ".join(map(str, run.problems))
        )
        raise MisuseError(one_line(why, 1000), path=str(file), mend="Make it with `ncu --csv --page raw`.")
    if differs := other_gpu(chosen, card):
        raise MisuseError(f"{differs}.", path=str(file), mend="Name the GPU by --gpu (see: kernelwright gpus).")
    roofline = measured_roofline(chosen, card)
    if as_json:
        told = {"name": file.name, "gpu": card.name, **run.to_json(), "roofline": roofline.to_json()}
        print_json(told | (_draw(roofline, picture) if picture is not None else {}))
        return 0
    screen = console(as_json)
    for words in summary(roofline):
        screen.print(Text(one_line(words, 2000)))
    if left_out := len(chosen) - sum("gpu__time_duration.sum" in launch.metrics for launch in chosen):
        screen.print(f"{left_out} launches have no measured time: ask ncu for gpu__time_duration.sum.", style="yellow")
    if all_metrics:
        for launch in chosen:
            screen.print(
                Text(f"\n{one_line(plain_name(launch.kernel))}  grid {launch.grid}, block {launch.block}", style="bold")
            )
            for name, value in sorted(launch.metrics.items()):
                screen.print(Text(f"  {name:<75} {number(value):>18}"))
    for problem in run.problems:
        screen.print(Text(one_line(str(problem), 1000), style="yellow"))
    if picture is not None:
        _tell_picture(_draw(roofline, picture), picture, screen)
    return 0


def _check_picture(picture: Path) -> None:
    """Before anything is run.

    Raises:
        MisuseError: it could not be written.
    """
    from kernelwright.errors import MisuseError
    from kernelwright.verifier.profilers.roofline_plot import FORMATS

    if picture.suffix.lower() not in FORMATS:
        raise MisuseError(
            f"--roofline can't write a {picture.suffix or 'file without an ending'}.", path=str(picture),
            mend=f"Choose one of {', '.join(FORMATS)}.",
        )  # fmt: skip
    if picture.is_dir() or not picture.absolute().parent.is_dir():
        raise MisuseError("--roofline can't be written there: no such folder.", path=str(picture))


def _draw(roofline: Roofline, picture: Path) -> dict[str, Any]:
    """Draws it; for `--json`, the figures, the file, or why there is none.

    Raises:
        MisuseError: the file can't be written.
    """
    from kernelwright.errors import MisuseError
    from kernelwright.verifier.profilers.roofline_plot import draw

    try:
        problem = draw(roofline, picture)
    except OSError as error:
        raise MisuseError(f"--roofline can't be written: {error.strerror or error}.", path=str(picture)) from error
    return {"roofline": roofline.to_json(), "picture": str(picture) if problem is None else problem.to_json()}


def _tell_picture(drawn: dict[str, Any], picture: Path, screen: Console) -> None:
    from rich.text import Text

    if isinstance(drawn["picture"], str):
        screen.print(Text(f"Written: {picture}"))
    else:
        screen.print(Text(f"{drawn['picture']['message']} {drawn['picture']['mend']}", style="yellow"))
