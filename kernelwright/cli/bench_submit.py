"""Entries that travel: `bench pack` and `bench submit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kernelwright.cli.base import Interrupted, common_flags, console, print_json, start
from kernelwright.cli.bench import bench
from kernelwright.errors import BundleError, MisuseError

if TYPE_CHECKING:
    from rich.console import Console

    from kernelwright.bench_tasks.suite import Suite
    from kernelwright.leaderboard.submitting import Judged

__all__ = ["pack", "submit"]


@bench.command("pack")
@click.argument("bench_run", metavar="BENCH_RUN")
@click.option(
    "-o", "--out", "out", type=click.Path(path_type=Path), metavar="FILE", help="File to write (default: BENCH_RUN.entry here)."
)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite a file at --out.")
@common_flags
def pack(bench_run: str, out: Path | None, force: bool, as_json: bool, verbose: bool, debug: bool) -> int:
    """Write the run of a suite to one file that can be sent to another leaderboard.

    It holds what came of every task, the unsolved ones too, and for each solved one the kernel with all that its verdict rests
    on. It names no person, folder or machine; look into it with any zip program.

    \b
    Example:
      kernelwright bench pack core-7k3f9q -o core.entry
    """
    import hashlib

    from kernelwright.bench.entries import entry_of
    from kernelwright.export import write_file
    from kernelwright.jobs import open_store
    from kernelwright.leaderboard.entry_file import pack_entry
    from kernelwright.leaderboard.submitted import find_submitted
    from kernelwright.words import one_line

    settings = start(verbose=verbose)
    with open_store(settings, to_read=True) as store:
        entry = find_submitted(store, bench_run) or entry_of(store, bench_run)
        if entry.submitted:
            raise MisuseError(
                f"{one_line(entry.id, 60)} was sent in: its author packs it.", mend="See it: kernelwright bench show ID"
            )
        target = out or Path(f"{entry.id}.entry")
        if target.exists() and not force:
            raise MisuseError("a file is in the way.", mend="Choose another with -o, or add --force.", path=str(target))
        data = pack_entry(entry, store, settings)
    write_file(target, data)
    solved = sum(trial.solved for trial in entry.trials)
    digest = hashlib.sha256(data).hexdigest()
    screen = console(as_json)
    screen.print(
        f"Written: {target}, {solved} solved of {len(entry.trials)}, {len(data):,} bytes", markup=False, soft_wrap=True
    )
    if as_json:
        print_json({"out": str(target), "id": entry.id, "solved": solved, "bytes": len(data), "sha256": digest})
    return 0


@bench.command("submit")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--author", metavar="NAME", help="Show it under this name instead of the one in the file.")
@click.option(
    "--suite", "suite_name", metavar="SUITE", help="Judge on this suite: a name or a path (default: the name in the file)."
)  # fmt: skip
@click.option(
    "--isolation",
    type=click.Choice(["auto", "bubblewrap", "docker", "process"]),
    help="How a kernel's process is fenced in (default: auto, bubblewrap or docker).",
)
@common_flags
def submit(
    file: Path,
    author: str | None,
    suite_name: str | None,
    isolation: str | None,
    as_json: bool,
    verbose: bool,
    debug: bool,
) -> int:
    """Judge an entry that somebody sent, and put it on the leaderboard.

    Every kernel is judged again here, on our own task of that name and with fresh secret seeds: it comes out clean, suspect (it
    passed, and its time came out otherwise or can't be taken here) or refused (it counts as not solved). The same file again goes
    on where it was interrupted, and changes nothing once all is judged.

    Exit code 1 if a kernel was refused.

    \b
    Example:
      kernelwright bench submit core.entry --author "Ada"
    """
    from kernelwright.bench_tasks.scoring.board import row_of
    from kernelwright.bench_tasks.scoring.results import Integrity
    from kernelwright.events import ignore
    from kernelwright.jobs import open_store
    from kernelwright.leaderboard.cells import figure_words, in_one_line
    from kernelwright.leaderboard.entry_file import read_entry
    from kernelwright.leaderboard.submitting import submit as judge
    from kernelwright.words import counted

    settings = start(verbose=verbose, **({} if isolation is None else {"isolation": isolation}))
    read = read_entry(_bytes(file))
    suite = _suite(suite_name, read.entry.suite, settings.data / "suites")
    screen = console(as_json)
    told: list[Judged] = []

    def tell(judged: Judged) -> None:
        told.append(judged)
        _say(judged, screen)

    with open_store(settings) as store:
        try:
            entry = judge(read, suite, settings, store=store, observer=ignore, author=author, told=tell)
        except KeyboardInterrupt as error:
            click.echo(f"What was judged is kept. Go on with: kernelwright bench submit {file}", err=True)
            raise Interrupted(None) from error
    row = row_of(entry, p=1.0, seed=0)
    counts = {kind.value: sum(j.item.integrity is kind for j in told) for kind in Integrity}
    kinds = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    if read.entry.trials and not told:
        kinds = "nothing was claimed to be solved"
    screen.print(
        f"{entry.id}: {counted(len(told), 'kernel')}, {kinds}; geomean {in_one_line(figure_words(row.geomean))}"
        + (" as claimed" if entry.claimed else ""),
        markup=False,
        soft_wrap=True,
    )
    if as_json:
        items = [
            {
                "task": j.item.task,
                "repeat": j.item.repeat,
                "integrity": j.item.integrity.value,
                "remarks": list(j.item.remarks),
                "evaluation_id": j.item.evaluation_id,
                "judged_before": j.before,
            }
            for j in told
        ]
        print_json({**row.to_json(), "counts": counts, "items": items})
    return 1 if counts[Integrity.REFUSED.value] else 0


def _suite(named: str | None, said: str, imported: Path) -> Suite:
    """The suite to judge on. What the file says may be a name only: a path of the submitter's is none of ours."""
    from kernelwright.bench_tasks.collections import find_suite, suite_names
    from kernelwright.words import one_line

    if named is not None:
        return find_suite(named, imported)
    if said not in suite_names(imported):
        raise MisuseError(
            f"the entry is of a suite called {one_line(said, 60)!r}, and there is none of that name here.",
            mend="Name the suite, or its path, with --suite.",
        )
    return find_suite(said, imported)


def _bytes(path: Path) -> bytes:
    from kernelwright.verifier.archive import LARGEST

    shown = str(path)
    mend = "Give a file that kernelwright bench pack wrote."
    if not path.is_file():
        what = "this is a directory, not a file." if path.is_dir() else "there is no such file."
        raise BundleError(what, path=shown, mend=mend)
    try:
        if (size := path.stat().st_size) > LARGEST + (LARGEST >> 4):
            raise BundleError(f"the file has {size:,} bytes, more than any entry.", path=shown, mend=mend)
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"the file can't be read: {error.strerror}.", path=shown) from error


def _say(judged: Judged, screen: Console) -> None:
    from kernelwright.words import one_line

    item = judged.item
    style = {"clean": "green", "suspect": "yellow", "refused": "red"}[item.integrity.value]
    again = " (judged before)" if judged.before else ""
    repeat = f", repeat {item.repeat + 1}" if item.repeat else ""
    line = f"{judged.number}/{judged.of} {one_line(item.task, 60)}{repeat}: {item.integrity.value}{again}"
    screen.print(line, style=style, markup=False, soft_wrap=True)
    for remark in item.remarks:
        screen.print(f"    {one_line(remark, 400)}", style="dim", markup=False, soft_wrap=True)
