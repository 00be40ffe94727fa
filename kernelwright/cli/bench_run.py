"""`kernelwright bench run`, `resume`, `runs` and `show`: running suites, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kernelwright.cli.base import Interrupted, common_flags, console, device_flags, print_json, start
from kernelwright.cli.bench import bench
from kernelwright.cli.flags import search_flags
from kernelwright.errors import MisuseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from kernelwright.bench.events import BenchObserver
    from kernelwright.config import Settings
    from kernelwright.db.bench import BenchRun
    from kernelwright.db.store import Store

__all__ = ["resume_suite", "run_suite", "runs", "show", "work_under_view"]

_TASK_SECONDS = 1800.0
_jobs = click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    metavar="N",
    help="Tasks at a time (default: half of the cores, at most 4; 1 on a GPU).",
)
_task_seconds = click.option(
    "--task-seconds",
    type=click.FloatRange(min=1),
    metavar="S",
    help=f"Seconds that one task may take (default: {_TASK_SECONDS:g}). What was judged by then counts.",
)


@bench.command("run")
@click.argument("suite")
@click.option(
    "--only", multiple=True, metavar="GLOB", help="Only tasks whose name is like this; several times for more."
)
@click.option("--no-variants", is_flag=True, help="Leave out variants: tasks called NAME@VARIANT.")
@click.option(
    "--repeats", type=click.IntRange(1, 100), default=1, show_default=True, metavar="N", help="Searches on each task."
)
@click.option(
    "--scale",
    type=click.Choice(["auto", "twin", "full"]),
    default="auto",
    show_default=True,
    help="Sizes: the scaled-down twins, or full; auto takes the twins on the emulator.",
)
@_jobs
@_task_seconds
@click.option(
    "--coder", type=click.Choice(["builtin"]), help="Take the built-in coder though the settings name a model."
)
@search_flags
@device_flags
@common_flags
def run_suite(
    suite: str,
    only: tuple[str, ...],
    no_variants: bool,
    repeats: int,
    scale: str,
    jobs: int | None,
    task_seconds: float | None,
    coder: str | None,
    as_json: bool,
    verbose: bool,
    debug: bool,
    **flags: Any,
) -> int:
    """Search for a kernel for every task of SUITE: core, fusion, models, frontier, an imported one, or a path.

    Every task and repeat is a search as `optimize` makes it, in a process of its own; all of it is stored. A task that nothing
    can be written for is a result too. --budget is for all of them together. Prompts show no earlier winners unless
    --exemplars says so. Ctrl-C or a kill loses nothing: `bench resume` goes on.

    \b
    Examples:
      kernelwright bench run core --no-variants --rounds 3
      kernelwright bench run core --only 'softmax*' --repeats 3 --strategy best-of-n
      kernelwright bench run fusion --model openai:NAME --judge builtin --budget 20
    """
    from kernelwright.bench.plan import Options, default_jobs, plan_run, scale_for, selected
    from kernelwright.bench.running import begin_run
    from kernelwright.bench_tasks.collections import find_suite
    from kernelwright.jobs import resolve_target, utc_now

    if coder is not None:
        if flags.get("model"):
            raise MisuseError("--coder builtin and --model exclude each other.", mend="Give one of them.")
        flags["model"] = ""
    if flags.get("exemplars") is None:
        flags["exemplars"] = 0  # else a repeat would be shown what the one before it has found
    settings = start(verbose=verbose, **flags)
    if flags.get("budget") is not None and not _asks_models(settings):
        raise MisuseError(
            "--budget is about language models, and none is named.", mend="Name one: --model openai:NAME."
        )
    chosen = find_suite(suite, settings.data / "suites")
    for missing in chosen.unreadable:
        console(as_json).print(f"{missing.name}: {missing.why}", style="yellow", markup=False, soft_wrap=True)
    tasks = selected(chosen, only, variants=not no_variants)
    target = resolve_target(settings)
    options = Options(
        jobs or default_jobs(target.device.kind),
        task_seconds or _TASK_SECONDS,
        settings.budget if _asks_models(settings) else None,
    )
    planned = plan_run(
        chosen,
        tasks,
        settings,
        target,
        options,
        scale=scale_for(scale, target.device.kind),
        repeats=repeats,
        now=utc_now(),
    )

    def work(store: Store, observer: BenchObserver) -> BenchRun:
        return begin_run(planned, settings, options, store, observer)

    return work_under_view(work, planned.run.id, settings, as_json=as_json)


@bench.command("resume")
@click.argument("bench_run_id", metavar="ID")
@click.option(
    "--budget", type=str, metavar="DOLLARS", help="All that the model calls of the whole run may cost together."
)
@_jobs
@_task_seconds
@common_flags
def resume_suite(
    bench_run_id: str,
    budget: str | None,
    jobs: int | None,
    task_seconds: float | None,
    as_json: bool,
    verbose: bool,
    debug: bool,
) -> int:
    """Go on with a run of a suite that was stopped, killed, or out of money.

    Tasks that have ended are left alone; those under way go on after their last finished step. The suite's files need not exist
    any more.

    \b
    Example:
      kernelwright bench resume core-7k3f9q --budget 40
    """
    from kernelwright.bench.plan import Options, options_of
    from kernelwright.bench.running import go_on
    from kernelwright.jobs import open_store

    settings = start(verbose=verbose, budget=budget)
    with open_store(settings, to_read=True) as store:
        run = store.bench_run(bench_run_id)
    before = options_of(run)
    options = Options(
        jobs or before.jobs,
        task_seconds or before.task_seconds,
        before.budget if budget is None else settings.budget,
    )

    def work(store: Store, observer: BenchObserver) -> BenchRun:
        return go_on(run.id, settings, options, store, observer)

    return work_under_view(work, run.id, settings, as_json=as_json)


@bench.command("runs")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many, the newest first.")
@common_flags
def runs(limit: int, as_json: bool, verbose: bool, debug: bool) -> int:
    """List the runs of suites, the newest first."""
    from kernelwright.bench.views import run_json
    from kernelwright.jobs import open_store
    from kernelwright.leaderboard.submitted import submitted_entries
    from kernelwright.render_bench import bench_runs_table
    from kernelwright.render_table import print_table
    from kernelwright.words import one_line

    with open_store(start(verbose=verbose), to_read=True) as store:
        found = store.bench_runs(limit)
        sent = [one_line(entry.id, 60) for entry in submitted_entries(store)]
    if as_json:
        listed = [{**run_json(s.run), "items": s.items, "ended": s.ended} for s in found]
        print_json({"bench_runs": listed, "submitted": sent})
        return 0
    screen = console(as_json)
    if found:
        print_table(screen, bench_runs_table(found))
    else:
        screen.print("No suite was run yet. Start one: kernelwright bench run core")
    if sent:
        screen.print(f"Sent in by others, for kernelwright bench show: {', '.join(sent)}", soft_wrap=True)
    return 0


@bench.command("show")
@click.argument("bench_run_id", metavar="ID")
@common_flags
def show(bench_run_id: str, as_json: bool, verbose: bool, debug: bool) -> int:
    """Show a run of a suite, or an entry that was sent in: what came of each task. ID may be its first characters.

    \b
    Example:
      kernelwright bench show core-7k3f9q
    """
    from kernelwright.jobs import open_store
    from kernelwright.leaderboard.submitted import find_submitted
    from kernelwright.render_bench import bench_head, print_entry

    screen = console(as_json)
    with open_store(start(verbose=verbose), to_read=True) as store:
        if (sent := find_submitted(store, bench_run_id)) is not None:
            print_entry(screen, sent)
            if as_json:
                from kernelwright.bench_tasks.scoring.entry_json import entry_to_json

                print_json(entry_to_json(sent))
            return 0
        run = store.bench_run(bench_run_id)
        screen.print(bench_head(run), soft_wrap=True)
        found = _summary(store, run, screen)
    if as_json:
        print_json(found)
    return 0


def _asks_models(settings: Settings) -> bool:
    return bool(settings.models)


def work_under_view(
    work: Callable[[Store, BenchObserver], BenchRun], bench_run_id: str, settings: Settings, *, as_json: bool
) -> int:
    """Runs a suite under a view, then shows its table; 0 when it is finished."""
    from kernelwright.db.bench import BenchStatus
    from kernelwright.jobs import open_store
    from kernelwright.render_bench import BenchView

    screen = console(as_json)
    with open_store(settings) as store:
        try:
            with BenchView(screen) as view:
                run = work(store, view)
        except KeyboardInterrupt:
            raise Interrupted(bench_run_id, command="kernelwright bench resume") from None
        screen.print()
        found = _summary(store, run, screen)
    if as_json:
        print_json(found)
    return 0 if run.status is BenchStatus.FINISHED else 1


def _summary(store: Store, run: BenchRun, screen: Console) -> dict[str, Any]:
    from kernelwright.bench.entries import entry_of
    from kernelwright.bench.views import bench_json
    from kernelwright.db.bench import BenchStatus
    from kernelwright.render_bench import print_items, totals_line
    from kernelwright.words import one_line

    items, entry = store.bench_items(run.id), entry_of(store, run.id)
    print_items(screen, items, entry)
    screen.print(totals_line(items, entry))
    if run.status is not BenchStatus.FINISHED:
        why = f"{run.status.value.capitalize()}. {one_line(run.message, 1000)}".rstrip()
        screen.print(f"{why} Go on with: kernelwright bench resume {run.id}", style="yellow", soft_wrap=True)
    return bench_json(run, items, entry)
