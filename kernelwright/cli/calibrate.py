"""The command that fits the performance model to a GPU: `calibrate`."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kernelwright.cli.base import common_flags, console, print_json, start

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kernelwright.calibrating import Outcome

__all__ = ["calibrate"]


@click.command()
@click.option(
    "--from", "file", type=click.Path(path_type=Path), metavar="FILE",
    help="Samples measured before or elsewhere, JSON lines (docs/calibration.md); needs no GPU.",
)  # fmt: skip
@click.option(
    "--keep", type=click.Path(path_type=Path), metavar="FILE", help="Also write the samples measured here to this file."
)
@click.option("--stored", is_flag=True, help="Also take the measured evaluations in the store.")
@click.option("--learn", "with_learning", is_flag=True, help="Also learn a correction (needs the extra [model]).")
@click.option("--gpu", metavar="NAME", help="Take the samples of this GPU (default: all, which must be of one).")
@click.option("--dry-run", is_flag=True, help="Say what would come out and keep nothing.")
@common_flags
def calibrate(
    file: Path | None,
    keep: Path | None,
    stored: bool,
    with_learning: bool,
    gpu: str | None,
    dry_run: bool,
    as_json: bool,
    verbose: bool,
    debug: bool,
) -> int:
    """Fit the performance model to measured launches of a GPU.

    A few constants of the model are moved from their estimates to what the samples say, and kernels held out in turn say how
    far off modelled times then are. What comes out is kept in the data folder; times modelled for that GPU use it from then
    on and say so.

    Without --from or --stored, some forty micro-benchmarks are run on this machine's GPU for it.

    \b
    Examples:
      kernelwright calibrate --keep h200.jsonl
      kernelwright calibrate --from h200.jsonl --dry-run
      kernelwright calibrate --from h200.jsonl --learn
    """
    from kernelwright.calibrating import calibrate_model, measure_here, no_gpu, stored_samples
    from kernelwright.jobs import open_store
    from kernelwright.render import make_console
    from kernelwright.sandbox.device import gpu_problem
    from kernelwright.verifier.model.samples import read_samples, write_samples

    settings = start(verbose=verbose)
    samples = [] if file is None else read_samples(file)
    if file is None and not stored:
        if problem := gpu_problem():
            raise no_gpu(problem)
        shown = make_console(sys.stderr)
        samples = measure_here(settings, progress=lambda number, name: shown.print(f"  {number + 1:3}  {name}"))
        if keep is not None:
            write_samples(samples, keep)
    if stored:
        with open_store(settings, to_read=True) as store:
            samples += stored_samples(store)
    done = calibrate_model(samples, settings, gpu=gpu, with_learning=with_learning, dry_run=dry_run)
    if as_json:
        print_json({"dry_run": dry_run, **done.to_json()})
    else:
        console(as_json).print(_view(done))
    return 0


def _percent(log_error: float) -> str:
    return f"{100 * math.expm1(log_error):.0f} %"


def _view(done: Outcome) -> RenderableType:
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from kernelwright.verifier.model.constants import FITTED
    from kernelwright.words import one_line

    found = done.calibration
    sentence = one_line(found.note.sentence())
    parts: list[RenderableType] = [Text(f"{found.gpu}: {sentence}", style="bold")]
    if found.constants:
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for heading in ("constant", "estimate", "fitted", "error"):
            table.add_column(heading, justify="left" if heading == "constant" else "right", no_wrap=True)
        table.add_column("meaning")
        for each in FITTED:
            if (constant := found.constants.get(each.name)) is not None:
                meaning = f"{each.meaning}{f' ({each.unit})' if each.unit else ''}"
                table.add_row(
                    each.name,
                    f"{constant.prior:.3g}",
                    f"{constant.value:.3g}",
                    f"{100 * constant.error:.0f} %",
                    meaning,
                )
        parts.append(table)
    else:
        parts.append(Text("The constants stay at their estimates: fitted ones did no better on kernels held out."))
    parts.append(
        Text(
            f"Mean error on kernels held out: {_percent(found.error_after)}, with the estimates {_percent(found.error_before)}."
        )
    )
    if done.learned is not None:
        figures = ""
        if done.learned.held_out is not None and done.learned.analytic is not None:
            figures = f" ({_percent(done.learned.held_out)} with it, {_percent(done.learned.analytic)} without)"
        parts.append(Text(f"Learned: {done.learned.reason}{figures}."))
    parts.append(Text("Nothing was kept (--dry-run)." if done.path is None else f"Kept: {done.path}"))
    return Group(*parts)
