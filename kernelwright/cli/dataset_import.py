"""`kernelwright dataset import`: kernels that others have published, judged again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kernelwright.cli.base import Interrupted, common_flags, console, device_flags, print_json, start
from kernelwright.cli.dataset import dataset

if TYPE_CHECKING:
    from rich.console import Console

    from kernelwright.foreign import Judged
    from kernelwright.rl.curation.archive import Archive

__all__ = ["import_kernels"]

_SHOWN = 10  # malformed lines that are listed; --json has them all


@dataset.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--name", metavar="NAME", help="What the archive is called (default: the file's name).")
@click.option("--licence", default="", metavar="TEXT", help="Licence of its contents, as its publisher says.")
@click.option(
    "--field", "fields", multiple=True, metavar="KEY=NAME",
    help="Where an entry has it: task, kernel, functional, name, level, problem, speedup or correct; several times for more.",
)  # fmt: skip
@click.option(
    "--scale", type=click.Choice(["auto", "twin", "full"]), default="auto", show_default=True,
    help="Sizes: scaled-down twins, or full; auto takes twins on the emulator.",
)  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Entries to judge at most.")
@click.option(
    "--jobs", type=click.IntRange(1, 64), metavar="N", help="Tasks at a time (default: half of the cores, at most 4)."
)
@device_flags
@common_flags
def import_kernels(
    files: tuple[Path, ...], name: str | None, licence: str, fields: tuple[str, ...], scale: str, limit: int | None, jobs: int | None,
    gpu: str | None, device: str | None, isolation: str | None, as_json: bool, verbose: bool, debug: bool,
) -> int:  # fmt: skip
    """Judge the kernels of public archives, JSON lines with a task and a kernel each, and put them into the store.

    The fields of CUDA-L1's release, of the AI CUDA Engineer's archive and of KernelBench's outputs are known; --field names
    others. No entry is believed: task and kernel run fenced in, the verdict is ours, and the speed-up that is claimed is kept
    beside it as a claim. What is malformed is counted and passed over. Ctrl-C or a kill loses nothing: the same command goes on.

    \b
    Examples:
      kernelwright dataset import a100.json --name CUDA-L1 --jobs 2
      kernelwright dataset import kernels.jsonl --field kernel=answer --field task=reference --limit 100
    """
    from kernelwright.foreign import default_jobs, fields_given, import_archive
    from kernelwright.jobs import open_store
    from kernelwright.rl.curation.archive import read_archive

    given = fields_given(fields)
    settings = start(verbose=verbose, gpu=gpu, device=device, isolation=isolation)
    archives = [read_archive(path, given) for path in files]
    screen = console(as_json)
    told: list[dict[str, object]] = []
    results = []
    with open_store(settings) as store:
        for archive in archives:
            _show_read(archive, screen)

            def tell(judged: Judged) -> None:
                told.append(_json(judged))
                _say(judged, screen)

            try:
                found = import_archive(
                    archive, settings, store=store, name=name or archive.path.stem, licence=licence, scale=scale,
                    jobs=jobs or default_jobs(), limit=limit, told=tell,
                )  # fmt: skip
            except KeyboardInterrupt as error:
                click.echo("What was judged is kept: the same command goes on.", err=True)
                raise Interrupted(None) from error
            verdicts = Counter(judged.verdict for judged in found.judged)
            claimed = [judged for judged in found.judged if judged.entry.correct or judged.entry.speedup is not None]
            _show_result(archive, verdicts, found.left, claimed, screen)
            results.append(
                {
                    "file": str(archive.path), "sha256": archive.digest, "fields": dict(archive.fields), "entries": len(archive.entries),
                    "without_kernel": archive.without_kernel, "verdicts": dict(verdicts), "left": dict(found.left),
                    "malformed": [{"line": each.line, "why": each.why} for each in archive.malformed],
                }
            )  # fmt: skip
    if as_json:
        print_json({"archives": results, "judged": told})
    return 0 if told else 1


def _json(judged: Judged) -> dict[str, object]:
    return {
        "line": judged.entry.line, "task": judged.task, "run_id": judged.run_id, "attempt": judged.number, "verdict": judged.verdict,
        "speedup": judged.speedup, "claimed_speedup": judged.entry.speedup, "claimed_correct": judged.entry.correct,
        "reason": judged.reason, "judged_before": judged.before,
    }  # fmt: skip


def _say(judged: Judged, screen: Console) -> None:
    from kernelwright.words import one_line, ratio

    words = f"line {judged.entry.line} {one_line(judged.task, 60)}: {judged.verdict.replace('_', ' ')}"
    if judged.speedup is not None:
        words += f", {ratio(judged.speedup)}"
    if judged.entry.speedup is not None:
        words += f" (claimed {ratio(judged.entry.speedup)})"
    words += " (judged before)" if judged.before else ""
    screen.print(words, style="green" if judged.verdict == "passed" else "yellow", markup=False, soft_wrap=True)


def _show_read(archive: Archive, screen: Console) -> None:
    from kernelwright.words import counted, one_line

    words = f"{one_line(archive.path.name, 80)}: {counted(len(archive.entries), 'entry', 'entries')}"
    if archive.without_kernel:
        words += f", {archive.without_kernel} without a kernel"
    if archive.malformed:
        words += f", {len(archive.malformed)} malformed"
    screen.print(words, markup=False, soft_wrap=True)
    for each in archive.malformed[:_SHOWN]:
        screen.print(f"  line {each.line}: {one_line(each.why, 160)}", style="dim", markup=False, soft_wrap=True)
    if not archive.entries and any(each.why.startswith("it has no") for each in archive.malformed):
        screen.print(
            "  Where an entry has its task and its kernel can be said: --field task=NAME --field kernel=NAME.",
            markup=False,
            soft_wrap=True,
        )


def _show_result(
    archive: Archive, verdicts: Counter[str], left: Counter[str], claimed: list[Judged], screen: Console
) -> None:
    from kernelwright.words import one_line

    said = ", ".join(f"{count} {verdict.replace('_', ' ')}" for verdict, count in verdicts.most_common())
    screen.print(f"{one_line(archive.path.name, 80)}: {said or 'nothing was judged'}", markup=False, soft_wrap=True)
    if claimed:
        right = sum(judged.verdict == "passed" for judged in claimed)
        screen.print(f"  of {len(claimed)} that are claimed to be right, {right} passed", markup=False, soft_wrap=True)
    for reason, count in left.most_common():
        screen.print(f"  {count} not judged: {one_line(reason, 200)}", style="dim", markup=False, soft_wrap=True)
