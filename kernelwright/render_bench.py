"""What people see of runs of suites: live progress, the table of tasks, the list of runs, baselines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kernelwright.bench.baselines import TaskBaselines
from kernelwright.bench.events import BenchEvent, BenchStarted, ItemEnded
from kernelwright.bench.progress import Progress, Result, counts_of, result_of
from kernelwright.bench_tasks.scoring.results import Entry, Integrity, Trial
from kernelwright.bench_tasks.suite import Scale
from kernelwright.db.bench import BenchItem, BenchRun, BenchStatus, BenchSummary
from kernelwright.render_table import print_rows
from kernelwright.words import between, clock_words, counted, duration, kind_words, one_line, ratio

__all__ = [
    "BenchView",
    "baselines_table",
    "bench_head",
    "bench_runs_table",
    "print_entry",
    "print_items",
    "totals_line",
]

_STYLES = {
    Result.SOLVED: "green",
    Result.UNSOLVED: "red",
    Result.UNWRITTEN: "yellow",
    Result.STOPPED: "yellow",
    Result.RUNNING: "cyan",
    Result.WAITING: "dim",
}


class BenchView:
    """An observer that draws: a line for each item that ends; on a terminal besides what goes on and how far it is."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.progress = Progress()
        self._live: Live | None = None

    def __enter__(self) -> BenchView:
        if self._console.is_terminal:
            self._live = Live(_Below(self.progress), console=self._console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __call__(self, event: BenchEvent) -> None:
        """Draws it."""
        self.progress(event)
        if isinstance(event, BenchStarted):
            self._console.print(bench_head(event.run), soft_wrap=True)
            if event.trials:
                self._console.print(f"{len(event.trials)} of {len(event.items)} have ended before.", style="dim")
        if isinstance(event, ItemEnded):
            self._console.print(self._line(event.item, event.trial), soft_wrap=True)

    def _line(self, item: BenchItem, trial: Trial) -> Text:
        result = result_of(item, trial)
        width = len(str(self.progress.total))
        line = Text(f"[{self.progress.ended:>{width}}/{self.progress.total}] {one_line(_name(item))}: ")
        line.append(result.value, style=_STYLES[result])
        if trial.best is not None:
            line.append(f", {_speedup(trial)} against eager")
        line.append(f", {clock_words(trial.seconds)}")
        if trial.integrity is not Integrity.CLEAN:
            line.append(f", {trial.integrity.value}: {one_line(trial.remarks[0], 200)}", style="yellow")
        if why := item.problem or trial.problem:
            line.append(f" ({one_line(why, 300)})", style="dim")
        return line


class _Below:
    """The lines under those of the items that have ended, new each time they are drawn."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        progress = self._progress
        for item, at in progress.running.values():
            yield Text(f"  {one_line(_name(item))}: {one_line(at)}", style="cyan", no_wrap=True, overflow="ellipsis")
        parts = [
            f"{progress.ended} of {progress.total}",
            *(f"{n} {result.value}" for result, n in progress.counts.items()),
        ]
        parts.append(f"{clock_words(progress.elapsed)} elapsed")
        if (left := progress.seconds_left) is not None:
            parts.append(f"about {clock_words(left)} left")
        if progress.dollars:
            parts.append(_dollars(progress.dollars))
        yield Text(", ".join(parts), style="bold", no_wrap=True, overflow="ellipsis")


def bench_head(run: BenchRun) -> Text:
    """What is run, and how."""
    size = _size_words(run) if run.scale is Scale.TWIN else "full size"
    head = f"Bench run {run.id}: {run.suite} ({size}), {run.strategy}, coder {run.coder}, judge {run.judge}, {counted(run.rounds, 'round')}"
    kind = kind_words("measured" if run.device == "cuda" else "modelled", run.gpu)
    return Text.assemble((one_line(head), "bold"), f", times {one_line(kind)}")


def _size_words(run: BenchRun) -> str:
    """How many of a run's tasks are scaled down: one that has no twin is judged as it is."""
    scaled, total = run.settings.get("twins", (1, 1))  # earlier versions did not say
    if scaled == total:
        return "scaled-down twins"
    if not scaled:
        return "sizes as they are: no task has a twin"
    return f"scaled-down twins of {scaled} of {counted(total, 'task')}, the others as they are"


def print_items(console: Console, items: Sequence[BenchItem], entry: Entry) -> None:
    """One row an item: what came of it, its best speed-up with the 95 % interval, verdicts, time, money, and what went wrong."""
    pairs = list(zip(items, entry.trials, strict=True))
    _print_trials(
        console,
        entry,
        [(_name(item), result_of(item, trial), item.problem or trial.problem, trial) for item, trial in pairs],
    )


def print_entry(console: Console, entry: Entry) -> None:
    """An entry that was sent in: what it is, and a row for each of its tasks and repeats."""
    size = "scaled-down twins" if entry.scale.value == "twin" else "full size"
    head = f"Entry {entry.id}: {entry.suite} ({size}), {entry.strategy}, sent in by {entry.author}"
    times = f", times {kind_words(entry.timing_kind, entry.gpu)}{' as claimed' if entry.claimed else ''}"
    console.print(Text.assemble((one_line(head), "bold"), one_line(times)), soft_wrap=True)
    rows = []
    for trial in entry.trials:
        result = Result.SOLVED if trial.solved else Result.UNSOLVED if trial.attempts else Result.UNWRITTEN
        name = trial.task if trial.repeat == 0 else f"{trial.task} #{trial.repeat + 1}"
        rows.append((name, result, "" if trial.has_kernel else trial.problem, trial))
    _print_trials(console, entry, rows)
    solved = sum(trial.solved for trial in entry.trials)
    about = f"{counted(solved, 'kernel')} that passed here; {len(entry.tasks)} of the suite's {counted(entry.suite_size, 'task')}"
    console.print(about, style="dim", soft_wrap=True)


def _print_trials(console: Console, entry: Entry, rows: Sequence[tuple[str, Result, str, Trial]]) -> None:
    paid = any(trial.dollars for trial in entry.trials)
    headings = ("task", "result", "vs eager", "verdicts", "time", *(["cost"] if paid else []), "")
    lines = []
    for name, result, problem, trial in rows:
        verdicts = Counter(attempt.verdict for attempt in trial.attempts)
        remark = problem or "; ".join(trial.remarks)
        lines.append([
            Text(name),
            Text(result.value, style=_STYLES[result]),
            Text(_speedup(trial) if trial.best else "-"),
            Text(", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()) or "-"),
            Text(clock_words(trial.seconds)),
            *([Text(_dollars(trial.dollars))] if paid else []),
            Text(one_line(remark, 200), style="yellow" if trial.integrity is not Integrity.CLEAN else "dim"),
        ])  # fmt: skip
    print_rows(
        console, headings, lines, first_to_go=("verdicts", "time", "cost"), right=("vs eager", "time", "cost"), box=SIMPLE_HEAD
    )  # fmt: skip


def totals_line(items: Sequence[BenchItem], entry: Entry) -> RenderableType:
    """Counts over all items, none left out; time, money, and how much of the suite it is of."""
    counts = counts_of(zip(items, entry.trials, strict=True))
    faster = sum(trial.best is not None and (trial.best.speedup or 0.0) > 1.0 for trial in entry.trials)
    parts = [f"{count} {result.value}" for result, count in counts.items()]
    parts.insert(1 if Result.SOLVED in counts else 0, f"{faster} faster than eager")
    line = Text(f"Of {len(items)}: {', '.join(parts)}", style="bold")
    about = f"{len(entry.tasks)} of the suite's {counted(entry.suite_size, 'task')}; {clock_words(sum(t.seconds for t in entry.trials))} of work"
    dollars = sum((trial.dollars for trial in entry.trials), Decimal(0))
    return Group(line, Text(about + (f", {_dollars(dollars)}" if dollars else ""), style="dim"))


def bench_runs_table(found: Sequence[BenchSummary]) -> Table:
    """One row a run, the newest first."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("bench run", "suite", "status", "ended", "coder", "strategy", "on", "started (UTC)"):
        table.add_column(
            heading, no_wrap=heading == "bench run", overflow="ignore" if heading == "bench run" else "fold"
        )
    for each in found:
        run = each.run
        table.add_row(
            Text(run.id),
            Text(one_line(f"{run.suite}, {run.scale.value}")),
            Text(run.status.value, style="" if run.status is BenchStatus.FINISHED else "yellow"),
            Text(f"{each.ended}/{each.items}"),
            Text(one_line(run.coder)),
            Text(run.strategy),
            Text(f"{run.device}, {run.gpu}"),
            Text(f"{run.created:%Y-%m-%d %H:%M}"),
        )
    return table


def baselines_table(found: Sequence[TaskBaselines], names: Sequence[str], kind: str, gpu: str) -> Table:
    """One row a task; all times are of one kind, which the title says."""
    table = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        title=f"Baselines, {kind_words(kind, gpu)}",
        title_justify="left",
        title_style="bold",
    )
    table.add_column(
        "task", no_wrap=True, overflow="ignore", min_width=max((len(one_line(f.name)) for f in found), default=0)
    )
    for name in names:
        table.add_column(name, justify="right")
    for each in found:
        row = []
        for name in names:
            one = each.found.get(name)
            row.append("-" if one is None else duration(one.seconds) + between(one.seconds_low, one.seconds_high))
        table.add_row(Text(one_line(each.name)), *map(Text, row))
    return table


def _name(item: BenchItem) -> str:
    return item.name if item.repeat == 0 else f"{item.name} #{item.repeat + 1}"


def _speedup(trial: Trial) -> str:
    assert trial.best is not None
    words = ratio(trial.best.speedup or 0.0)
    low, high = (ratio(end) for end in trial.speedup_interval or (trial.best.speedup or 0.0,) * 2)
    return words if low == high else f"{words} ({low} to {high})"


def _dollars(amount: Decimal) -> str:
    from kernelwright.agents.models.paid import dollars_text

    return dollars_text(amount)
