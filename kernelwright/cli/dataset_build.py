"""`kernelwright dataset build`: the store becomes a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kernelwright.cli.base import common_flags, console, print_json, start
from kernelwright.cli.dataset import dataset

if TYPE_CHECKING:
    from rich.console import Console

    from kernelwright.curating import Built

__all__ = ["build"]

_SHOWN = 30  # attempts that a dry run lists; --json has them all


@dataset.command("build")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT")
@click.option(
    "--for", "purpose", type=click.Choice(["sft", "rl"]), default="sft", show_default=True,
    help="Rows: kernels with their prompts (sft), or tasks with their times (rl).",
)  # fmt: skip
@click.option(
    "--held-out", "held_out", multiple=True, metavar="SUITE|PATH",
    help="Let nothing in of these tasks: a suite, a collection, a task file; several times for more.",
)  # fmt: skip
@click.option("--kind", type=click.Choice(["measured", "modelled"]), help="The kind of time, where the store has both.")
@click.option("--gpu", metavar="NAME", help="Only times for this GPU.")
@click.option(
    "--min-speedup", type=click.FloatRange(min=0), metavar="X", help="Least speed-up over the reference (default: 1 for sft, none for rl)."
)  # fmt: skip
@click.option(
    "--large-speedup", type=click.FloatRange(min=0), default=5.0, show_default=True, metavar="X",
    help="From here on a kernel is kept though another one of its task is faster.",
)  # fmt: skip
@click.option(
    "--per-task", type=click.IntRange(1, 1000), default=4, show_default=True, metavar="N", help="Kernels of one task at most."
)  # fmt: skip
@click.option(
    "--similarity", type=click.FloatRange(0.5, 1), default=0.85, show_default=True, metavar="SHARE",
    help="Share in common from which two kernels of a module are near-duplicates.",
)  # fmt: skip
@click.option(
    "--overlap", type=click.FloatRange(0.01, 1), default=0.3, show_default=True, metavar="SHARE",
    help="Share of a held-out task's word runs that no text may have.",
)  # fmt: skip
@click.option(
    "--balance", type=click.FloatRange(min=0), default=3.0, show_default=True, metavar="X",
    help="No family has more rows than X times the middle one; 0 is no limit.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Write nothing: show what would be kept, and why the rest would not.")
@click.option("--force", is_flag=True, help="Replace a data set at OUT; a folder with other files in it is refused.")
@common_flags
def build(
    out: Path, purpose: str, held_out: tuple[str, ...], kind: str | None, gpu: str | None, min_speedup: float | None,
    large_speedup: float, per_task: int, similarity: float, overlap: float, balance: float, dry_run: bool, force: bool,
    as_json: bool, verbose: bool, debug: bool,
) -> int:  # fmt: skip
    """Choose kernels of the store for training, and write them as Parquet with a data card into the folder OUT.

    Of each task the fastest kernel with the shortest reasoning is kept, and more where the speed-up is large. Left out are
    kernels that did not pass, that ever cheated, that were not judged whole or were warned of, near-duplicates, and whatever is
    near to a held-out task; task families are kept in balance (docs/datasets.md). Measured and modelled times are never mixed.
    The same store gives the same bytes. Needs the extra data: pip install 'kernelwright[data]'.

    \b
    Examples:
      kernelwright dataset build sft --held-out core --held-out KernelBench/KernelBench
      kernelwright dataset build rl --for rl --kind modelled --gpu H200
      kernelwright dataset build sft --dry-run --json | jq .counts
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from kernelwright.curating import build as build_set
    from kernelwright.curating import held_out_tasks, write
    from kernelwright.dataset_folder import check_place
    from kernelwright.jobs import open_store
    from kernelwright.rl.curation.heldout import Strictness
    from kernelwright.rl.curation.select import Rules
    from kernelwright.verifier.evaluation import TimingKind
    from kernelwright.verifier.model.gpus import find_gpu

    settings = start(verbose=verbose)
    if not dry_run:
        check_place(out, force=force)
    rules = Rules(
        "rl" if purpose == "rl" else "sft", None if kind is None else TimingKind(kind), None if gpu is None else find_gpu(gpu).name,
        min_speedup, large_speedup, per_task, similarity, balance,
    )  # fmt: skip
    screen = console(as_json)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with (
        open_store(settings, to_read=True) as store,
        Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar,
    ):
        line = bar.add_task("", total=None)

        def step(what: str, done: int, of: int) -> None:
            bar.update(line, description=what, completed=done, total=of or None)

        tasks = held_out_tasks(held_out, settings.data / "suites")
        built = build_set(store, rules, tasks, Strictness(overlap=overlap), step)
        files = [] if dry_run else write(built, out, force=force)
    _show(built, screen, dry_run=dry_run)
    if not dry_run:
        from kernelwright.words import one_line

        screen.print(f"Written: {one_line(str(out))}", markup=False, soft_wrap=True)
    if as_json:
        kept = [
            {"run_id": k.candidate.run_id, "attempt": k.candidate.number, "task": k.candidate.task.name, "family": k.family, "why": k.why}
            for k in built.selection.kept
        ]  # fmt: skip
        dropped = [
            {"run_id": d.run_id, "attempt": d.number, "task": d.task, "reason": d.reason.value, "detail": d.detail}
            for d in built.selection.dropped
        ]
        about = {"out": None if dry_run else str(out), "files": [str(f) for f in files], "dry_run": dry_run}
        print_json({**about, **built.to_json(), "kept": kept, "dropped": dropped})
    return 0


def _show(built: Built, screen: Console, *, dry_run: bool) -> None:
    from rich.table import Table

    from kernelwright.words import counted, kind_words, one_line

    selection = built.selection
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("attempts", ""):
        table.add_column(heading, justify="right" if heading else "left")
    table.add_row(str(len(selection.kept)), "kept")
    for reason, count in selection.counts().items():
        table.add_row(str(count), reason, style="dim")
    screen.print(table)
    if selection.kept:
        gpus = sorted({each.candidate.gpu for each in selection.kept})
        families = ", ".join(f"{name} {count}" for name, count in selection.families().items())
        screen.print(
            f"{counted(len(selection.kept), 'row')}, times {kind_words(selection.kind or '', ', '.join(gpus))}; families: {families}",
            markup=False, soft_wrap=True,
        )  # fmt: skip
    if not dry_run:
        return
    for each in selection.kept[:_SHOWN]:
        found = each.candidate
        words = f"keep  {found.run_id}/{found.number} {one_line(found.task.name, 60)}: {found.speedup:.2f}x, {each.why}"
        screen.print(words, style="green", markup=False, soft_wrap=True)
    for left in selection.dropped[:_SHOWN]:
        words = f"drop  {left.run_id}/{left.number} {one_line(left.task, 60)}: {left.reason.value}"
        screen.print(
            words + (f" ({one_line(left.detail, 200)})" if left.detail else ""),
            style="dim",
            markup=False,
            soft_wrap=True,
        )
    more = max(0, len(selection.kept) - _SHOWN) + max(0, len(selection.dropped) - _SHOWN)
    if more:
        screen.print(f"and {more} more: --json lists all", style="dim")
