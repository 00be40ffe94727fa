"""`kernelwright dataset expand`: new tasks by random graph expansion, and kernels for them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kernelwright.cli.base import common_flags, console, device_flags, print_json, start
from kernelwright.cli.bench_run import work_under_view
from kernelwright.cli.dataset import dataset

if TYPE_CHECKING:
    from kernelwright.bench.events import BenchObserver
    from kernelwright.db.bench import BenchRun
    from kernelwright.db.store import Store

__all__ = ["expand"]

_TASK_SECONDS = 1800.0

_ROUNDS = 2
"""Kernels for each task where nothing else is said."""


@dataset.command("expand")
@click.option(
    "--count", type=click.IntRange(1, 100_000), default=20, show_default=True, metavar="N", help="Tasks to make."
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="S",
    help="Other seeds give other tasks.",
)
@click.option(
    "--max-ops",
    type=click.IntRange(2, 64),
    default=8,
    show_default=True,
    metavar="K",
    help="Operations of a task at most.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where the task files go (default: in the data folder); tasks that an earlier run made there go.",
)
@click.option("--no-search", is_flag=True, help="Only make the tasks: look for no kernels.")
@click.option(
    "--rounds",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Kernels for each task at most (default: 2).",
)
@click.option(
    "--jobs", type=click.IntRange(1, 64), metavar="N", help="Tasks at a time (default: half of the cores, at most 4)."
)
@device_flags
@common_flags
def expand(
    count: int, seed: int, max_ops: int, out: Path | None, no_search: bool, rounds: int | None, jobs: int | None,
    gpu: str | None, device: str | None, isolation: str | None, as_json: bool, verbose: bool, debug: bool,
) -> int:  # fmt: skip
    """Make new fused tasks by growing random graphs of PyTorch operations, and let the built-in coder write kernels for them.

    Every task is a readable module in a file of its own, with sizes for a GPU and smaller ones for the emulator. What the task
    linter does not find clean is dropped, and told by its rule. The kernels are judged as all others are, and go to the store:
    `kernelwright dataset build` makes training data of them. The same arguments give the same tasks.

    \b
    Examples:
      kernelwright dataset expand --count 100 --seed 7
      kernelwright dataset expand --count 5 --max-ops 4 --no-search --out my_tasks
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from kernelwright.bench.plan import Options, default_jobs, plan_run, scale_for
    from kernelwright.bench.running import begin_run
    from kernelwright.bench_tasks.suite import Scale
    from kernelwright.expanding import grow_tasks, lint_with_job, write_tasks
    from kernelwright.jobs import open_store, resolve_target, utc_now
    from kernelwright.linting import LintJob
    from kernelwright.sandbox.isolation import choose_isolation
    from kernelwright.sandbox.process import Limits
    from kernelwright.words import counted, one_line

    settings = start(verbose=verbose, gpu=gpu, device=device, isolation=isolation, model="", judge_model="")
    settings = settings.model_copy(update={"rounds": rounds or _ROUNDS})
    os.environ["KERNELWRIGHT_CACHE"] = str(settings.cache)  # workers find the cache by this variable
    if not no_search:
        open_store(settings).close()  # a store that can't be opened is told before the work, not after it
    screen = console(as_json)
    folder = out or settings.data / "expanded" / f"seed{seed}"
    at_once = jobs or default_jobs("emulator")
    limits = Limits(call_seconds=settings.call_seconds, memory_bytes=settings.memory_bytes)
    job = LintJob(Scale.TWIN, at_once, limits, lambda: choose_isolation(settings.isolation), settings.cache)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        line = bar.add_task("growing and linting", total=count)

        def step(kept: int, of: int, grown: int) -> None:
            bar.update(line, completed=kept, total=of, description=f"growing and linting, {grown} grown")

        found = grow_tasks(count, seed, max_ops, lint_with_job(job), at_once=2 * at_once, on_step=step)
    suite = write_tasks(found, folder, seed=seed)
    why = ", ".join(f"{reason} {number}" for reason, number in sorted(found.dropped.items()))
    screen.print(
        f"{counted(len(found.tasks), 'task')} of {counted(found.grown, 'graph')}" + (f" (dropped: {why})" if why else "") + f", in {one_line(str(folder))}",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    if no_search:
        if as_json:
            tasks = [
                {"name": t.name, "id": t.task.id, "family": t.family, "title": t.title, "path": t.task.path}
                for t in suite.tasks
            ]
            print_json({"folder": str(folder), "grown": found.grown, "dropped": dict(found.dropped), "tasks": tasks})
        return 0
    target = resolve_target(settings)
    options = Options(jobs or default_jobs(target.device.kind), _TASK_SECONDS, None)
    scale = scale_for("auto", target.device.kind)
    planned = plan_run(suite, suite.tasks, settings, target, options, scale=scale, repeats=1, now=utc_now())

    def work(store: Store, observer: BenchObserver) -> BenchRun:
        return begin_run(planned, settings, options, store, observer)

    return work_under_view(work, planned.run.id, settings, as_json=as_json)
