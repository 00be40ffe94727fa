"""The commands that read the store: `runs`, `show`, `export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kernelwright.cli.base import common_flags, console, print_json, start
from kernelwright.errors import MisuseError, NotFoundError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from kernelwright.db.store import RunSummary, Store

__all__ = ["export", "runs", "show"]


@click.command()
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many, the newest first.")
@click.option("--task", "task_name", metavar="NAME", help="Only runs on the task of this name or id.")
@common_flags
def runs(limit: int, task_name: str | None, as_json: bool, verbose: bool, debug: bool) -> int:
    """List the stored runs, the newest first."""
    from kernelwright.jobs import open_store

    with open_store(start(verbose=verbose), to_read=True) as store:
        found = store.runs(limit, task=task_name)
    if as_json:
        print_json({"runs": [_summary_json(run) for run in found]})
        return 0
    screen = console(as_json)
    if not found:
        screen.print("No runs yet. Start one: kernelwright optimize FILE")
        return 0
    screen.print(_runs_table(found, screen.width))
    return 0


@click.command()
@click.argument("identifier", metavar="ID")
@click.option("--source", is_flag=True, help="Print the kernel's source instead (of a run: its best kernel's).")
@click.option(
    "--messages",
    "attempt",
    type=click.IntRange(0),
    metavar="N",
    help="Of a run: print what was said to and by language models in attempt N; 0 for all.",
)
@common_flags
def show(identifier: str, source: bool, attempt: int | None, as_json: bool, verbose: bool, debug: bool) -> int:
    """Show a run, a kernel or an evaluation.

    ID may be the first characters of an id, if no other begins so.

    \b
    Examples:
      kernelwright show softmax-7k3f
      kernelwright show softmax-7k3f --messages 2
      kernelwright show 9f3ac1 --source > kernel.py
    """
    from kernelwright.db.lookup import Kind
    from kernelwright.jobs import open_store

    screen = console(as_json)
    with open_store(start(verbose=verbose), to_read=True) as store:
        found = store.find(identifier, (Kind.RUN, Kind.KERNEL, Kind.EVALUATION))
        if attempt is not None:
            if found.kind is not Kind.RUN:
                raise MisuseError(f"--messages is for a run, and {found.id} is none.", mend="Give a run's id.")
            view = _messages(store, found.id, attempt, screen)
        elif source:
            view = _source(store, found.kind, found.id, screen, as_json)
        elif found.kind is Kind.RUN:
            view = _run(store, found.id, screen)
        elif found.kind is Kind.KERNEL:
            view = _kernel(store, found.id, screen)
        else:
            view = _evaluation(store, found.id, screen)
    if as_json:
        print_json({"kind": found.kind.value, **view})
    return 0


@click.command()
@click.argument("identifier", metavar="ID")
@click.option(
    "-o", "--out", "out", type=click.Path(path_type=Path), help="File to write (default: NAME.kernel.py here)."
)
@click.option("--force", is_flag=True, help="Overwrite a file at --out that kernelwright did not write.")
@common_flags
def export(identifier: str, out: Path | None, force: bool, as_json: bool, verbose: bool, debug: bool) -> int:
    """Write the kernel file of a run, kernel or evaluation.

    Of a run it is the best kernel. The file has a header that says how the kernel was verified.

    \b
    Example:
      kernelwright export softmax-7k3f --out fast_softmax.py
    """
    from kernelwright.export import default_target, kernel_file, write_kernel_file
    from kernelwright.jobs import open_store, stored_kernel, utc_now

    with open_store(start(verbose=verbose), to_read=True) as store:
        chosen = stored_kernel(store, identifier)
    target = out or default_target(chosen.task)
    text = kernel_file(chosen.task, chosen.kernel, chosen.evaluation, utc_now())
    write_kernel_file(target, text, force=force)
    screen = console(as_json)
    screen.print(f"Written: {target}", soft_wrap=True)
    if not chosen.evaluation.passed:
        screen.print(f"It did not pass ({chosen.evaluation.verdict.value}): the header says so.", style="yellow")
    if as_json:
        print_json({"out": str(target), "kernel_id": chosen.kernel.id, "verdict": chosen.evaluation.verdict.value})
    return 0


def _run(store: Store, run_id: str, screen: Console) -> dict[str, Any]:
    from rich.text import Text

    from kernelwright.agents.llm.outcomes import outcomes
    from kernelwright.render import attempts_table, best_block
    from kernelwright.render_models import advice_lines, cost_line
    from kernelwright.rl.strategy import past
    from kernelwright.views import run_json
    from kernelwright.words import counted, one_line

    run, attempts, best = store.run(run_id), store.attempts(run_id), store.best(run_id)
    head = f"Run {run.id}: {run.task.name}, {run.status.value}, {len(attempts)} of {counted(run.rounds, 'round')}"
    screen.print(Text(one_line(head), style="bold"))
    about = f"{run.strategy}, coder {run.coder}, judge {run.judge}, {run.device}, {run.gpu}, {run.created:%Y-%m-%d %H:%M} UTC"
    screen.print(Text(one_line(about), style="dim"))
    if run.message:
        screen.print(Text(one_line(run.message, 2000), style="yellow"))
    if attempts:
        screen.print(attempts_table(attempts, best, width=screen.width))
        screen.print(best_block(run, best))
        for attempt in attempts:
            screen.print(Text(f"  {attempt.number}: kernel {attempt.kernel.id}", style="dim"))
            for note in attempt.notes:
                screen.print(Text(f"     {one_line(note)}", style="dim"))
        screen.print(advice_lines(outcomes(past(attempts))))
    if (line := cost_line(store.costs(run.id))) is not None:
        screen.print(line)
    return run_json(run, attempts, best)


def _messages(store: Store, run_id: str, attempt: int, screen: Console) -> dict[str, Any]:
    from kernelwright.render_models import call_json, conversation

    calls = [call for call in store.calls(run_id) if attempt in (0, call.place.attempt)]
    if not calls and attempt and attempt not in {each.number for each in store.attempts(run_id)}:
        raise NotFoundError(f"run {run_id} has no attempt {attempt}.", mend=f"See: kernelwright show {run_id}")
    if not calls:
        of = f"attempt {attempt} of run" if attempt else "run"
        screen.print(f"No language model was asked in {of} {run_id}.")
    screen.print(conversation(calls), soft_wrap=True)
    return {"id": run_id, "calls": [call_json(call) for call in calls]}


def _kernel(store: Store, kernel_id: str, screen: Console) -> dict[str, Any]:
    from rich.text import Text

    from kernelwright.render import verdict_block
    from kernelwright.views import evaluation_json, kernel_json
    from kernelwright.words import counted, one_line, timing_sentence

    kernel, evaluations = store.kernel(kernel_id), store.evaluations_of(kernel_id)
    lines = kernel.source.count("\n") + 1
    screen.print(
        Text(
            f"Kernel {kernel.id} by {one_line(kernel.author)}, {counted(lines, 'line')} (--source prints it)",
            style="bold",
        )
    )
    if kernel.parents:
        screen.print(Text(f"  from {', '.join(kernel.parents)}"))
    for key, value in kernel.parameters.items():
        screen.print(Text(f"  {one_line(key)} = {one_line(str(value))}"))
    for evaluation in evaluations:
        screen.print(Text(f"on task {evaluation.task_id}, {one_line(evaluation.device.name)}:"))
        screen.print(verdict_block(evaluation))
        if evaluation.timing is not None:
            screen.print(Text(f"  {timing_sentence(evaluation.timing)}"))
    return {**kernel_json(kernel), "evaluations": [evaluation_json(e, profile=False) for e in evaluations]}


def _evaluation(store: Store, evaluation_id: str, screen: Console) -> dict[str, Any]:
    from kernelwright.render import evaluation_view
    from kernelwright.views import evaluation_json

    evaluation = store.evaluation(evaluation_id)
    screen.print(f"Evaluation {evaluation_id}: kernel {evaluation.kernel_id} on task {evaluation.task_id}")
    screen.print(evaluation_view(evaluation))
    return {"id": evaluation_id, **evaluation_json(evaluation)}


def _source(store: Store, kind: str, identifier: str, screen: Console, as_json: bool) -> dict[str, Any]:
    from kernelwright.jobs import stored_kernel
    from kernelwright.render import plain_source
    from kernelwright.views import kernel_json

    kernel = store.kernel(identifier) if kind == "kernel" else stored_kernel(store, identifier).kernel
    if screen.is_terminal:
        screen.print(plain_source(kernel.source), soft_wrap=True)
    elif not as_json:
        click.echo(kernel.source, nl=not kernel.source.endswith("\n"))
    return kernel_json(kernel)


def _runs_table(found: list[RunSummary], width: int) -> Table:
    """One row a run. Its id is never cut or broken, people copy it; columns are left out from the right instead."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from kernelwright.render import columns_that_fit
    from kernelwright.words import duration, kind_words, ratio

    rows = []
    for run in found:
        best = "-" if run.best_verdict is None else run.best_verdict.value
        if run.seconds is not None and run.timing_kind is not None:
            best = f"{duration(run.seconds)} {kind_words(run.timing_kind, run.gpu)}"
        speedup = "-" if run.speedup is None else ratio(run.speedup)
        started = f"{run.created:%Y-%m-%d %H:%M}"
        rows.append((run.id, run.status.value, best, speedup, f"{run.attempts}/{run.rounds}", started))
    headings = ("run", "status", "best", "vs eager", "rounds", "started (UTC)")
    widths = [max(len(heading), *(len(row[i]) for row in rows)) for i, heading in enumerate(headings)]
    widths[2] = min(widths[2], len("compile_error"))  # it may break between words
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    shown = max(3, columns_that_fit(widths, width))
    for heading in headings[:shown]:
        table.add_column(
            heading,
            justify="right" if heading in {"vs eager", "rounds"} else "left",
            no_wrap=heading != "best",
            overflow="ignore" if heading == "run" else "ellipsis",
        )
    for row in rows:
        table.add_row(*map(Text, row[:shown]))
    return table


def _summary_json(run: RunSummary) -> dict[str, Any]:
    from dataclasses import asdict

    view = asdict(run)
    return {**view, "created": run.created.isoformat(), "updated": run.updated.isoformat()}
