"""What searches say of the strategies that made them: `report`."""

from __future__ import annotations

from pathlib import Path

import click

from kernelwright.cli.base import common_flags, console, print_json, start

__all__ = ["report"]


@click.command()
@click.argument("names", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--control",
    metavar="ARM",
    help="What the others are compared with: a strategy, or an arm as the table names it (default: best-of-n).",
)
@click.option(
    "--within",
    type=click.FloatRange(0, 100),
    default=5.0,
    show_default=True,
    metavar="PERCENT",
    help="How near the best known time counts as there.",
)
@click.option(
    "--plot", "picture", type=click.Path(path_type=Path), metavar="FILE", help="Draw the curves: .svg, .png or .pdf."
)
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), metavar="FILE", help="Write every point.")
@click.option("--markdown", "markdown_file", type=click.Path(path_type=Path), metavar="FILE", help="Write the tables.")
@common_flags
def report(
    names: tuple[str, ...],
    control: str | None,
    within: float,
    picture: Path | None,
    csv_file: Path | None,
    markdown_file: Path | None,
    as_json: bool,
    verbose: bool,
    debug: bool,
) -> int:
    """Compare searches: how good was the best kernel after so many evaluations, dollars and seconds?

    RUN is the id of a run, or of a run of a suite, which stands for all its searches; the beginning of an id is enough. Runs
    that differ in chance only, repeats on one task for instance, form an arm and give it its intervals. Measured and modelled
    times, and different GPUs, have a table of their own. docs/report.md says how each figure is made.

    \b
    Examples:
      kernelwright report softmax-7k3f softmax-9d2a
      kernelwright report core-mwbfez core-k2x8aa --plot curves.svg
      kernelwright report core-mwbfez core-k2x8aa --control best-of-n --markdown table.md
    """
    from kernelwright.export import write_file
    from kernelwright.jobs import open_store
    from kernelwright.render_report import csv_text, markdown_text, report_view
    from kernelwright.report_plot import check_plot, draw
    from kernelwright.reporting import make_report

    if picture is not None:
        check_plot(picture)
    with open_store(start(verbose=verbose), to_read=True) as store:
        found = make_report(store, names, control=control, within=within / 100)
    written = {}
    if csv_file is not None:
        write_file(csv_file, csv_text(found))
        written["csv"] = str(csv_file)
    if markdown_file is not None:
        write_file(markdown_file, markdown_text(found))
        written["markdown"] = str(markdown_file)
    if picture is not None:
        draw(found, picture)
        written["plot"] = str(picture)
    if as_json:
        print_json({**found.to_json(), "written": written})
        return 0
    screen = console(as_json)
    screen.print(report_view(found, screen.width))
    for path in written.values():
        screen.print(f"Written: {path}", markup=False, soft_wrap=True)
    return 0
