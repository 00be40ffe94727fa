"""`kernelwright bench lint`: attacks and checks the tasks of suites."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kernelwright.cli.base import common_flags, console, print_json, start
from kernelwright.cli.bench import bench

if TYPE_CHECKING:
    from kernelwright.verifier.lint import LintReport

__all__ = ["lint"]


@bench.command("lint")
@click.argument("suites", metavar="[SUITE|PATH]...", nargs=-1)
@click.option("--only", metavar="GLOB", help="Only tasks whose name fits, for instance 'softmax*'.")
@click.option(
    "--scale",
    type=click.Choice(["twin", "full"]),
    default="twin",
    show_default=True,
    help="At which sizes tasks are run. Whether they are large enough for a GPU is always told of the full size.",
)
@click.option("--jobs", type=click.IntRange(1, 64), metavar="N", help="Tasks at once (default: half of the cores).")
@click.option("--again", is_flag=True, help="Lint tasks anew whose report is kept from an earlier run.")
@click.option("--notes", is_flag=True, help="Print what the notes say too, of clean tasks as well.")
@click.option("--markdown", type=click.Path(path_type=Path), metavar="FILE", help="Write the table to FILE as well.")
@click.option(
    "--isolation",
    type=click.Choice(["auto", "bubblewrap", "docker", "process"]),
    help="How the code of tasks that are not ours is fenced in (default: auto, bubblewrap or docker).",
)
@common_flags
def lint(
    suites: tuple[str, ...], only: str | None, scale: str, jobs: int | None, again: bool, notes: bool, markdown: Path | None,
    isolation: str | None, as_json: bool, verbose: bool, debug: bool,
) -> int:  # fmt: skip
    """Attack and check every task of suites, or a task file: is a kernel that passes worth anything?

    Each task is attacked with what worthless kernels give (zeros, constants, the mean of the inputs, an input, earlier outputs,
    answers that ignore an input, a weight or an axis), judged by the comparison that kernels meet, and its outputs, inputs,
    operations and sizes are checked. A task is refused, marked or clean; docs/task-lint.md has every rule. Without a suite, all
    of ours are linted. A report is kept until the task changes: a run that was interrupted goes on where it stopped. Exits with 1 if
    a task is refused.
    """
    from dataclasses import asdict

    from kernelwright.bench_tasks.suite import Scale
    from kernelwright.errors import MisuseError
    from kernelwright.export import write_file
    from kernelwright.linting import LintJob, choose_tasks, default_jobs, lint_tasks
    from kernelwright.render_lint import LintView
    from kernelwright.sandbox.isolation import choose_isolation
    from kernelwright.sandbox.process import Limits
    from kernelwright.verifier.lint.table import markdown_table, summary, table_rows

    settings = start(verbose=verbose, isolation=isolation)
    os.environ["KERNELWRIGHT_CACHE"] = str(settings.cache)  # workers find the cache by this variable
    if markdown is not None and (markdown.is_dir() or not markdown.absolute().parent.is_dir()):
        what = "this is a folder" if markdown.is_dir() else "the folder of the file to write does not exist"
        raise MisuseError(f"{what}.", mend="Name a file in a folder that is there.", path=str(markdown))
    chosen, found = choose_tasks(suites, only=only, imported=settings.data / "suites")
    job = LintJob(
        Scale(scale),
        jobs or default_jobs(),
        Limits(call_seconds=settings.call_seconds, memory_bytes=settings.memory_bytes),
        lambda: choose_isolation(settings.isolation),
        settings.cache,
        again,
    )
    reports: dict[int, LintReport] = {}
    interrupted = False
    with LintView(console(as_json), [each.task.name for each in chosen], jobs=job.jobs, notes=notes) as view:
        running = lint_tasks(chosen, job, view.step)
        try:
            for position, report in running:
                reports[position] = report
                view.done(position, report)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            running.close()
    ordered = [reports[position] for position in sorted(reports)]
    unreadable = [each for suite in found for each in suite.unreadable]
    view.table(ordered, unreadable, left=len(chosen) - len(ordered))
    if markdown is not None:
        words = ["kernelwright bench lint", *(Path(s).name if Path(s).exists() else s for s in suites)]
        words += [f"--only '{only}'"] if only else []
        words += [f"--scale {scale}"] if scale != "twin" else []
        title = f"Task lint: {', '.join(suite.name for suite in found)}"
        write_file(markdown, markdown_table(ordered, title=title, command=" ".join(words)))
    if as_json:
        print_json(
            {
                "scale": scale,
                "summary": summary(ordered),
                "rows": [asdict(row) for row in table_rows(ordered)],
                "tasks": [{"suite": chosen[p].suite, **reports[p].to_json()} for p in sorted(reports)],
                "unreadable": [{"name": u.name, "path": u.path, "why": u.why, "mend": u.mend} for u in unreadable],
                "interrupted": interrupted,
                "not_linted": [each.task.name for p, each in enumerate(chosen) if p not in reports],
            }
        )
    if interrupted:
        return 130
    return 1 if any(report.status == "refused" for report in ordered) else 0
