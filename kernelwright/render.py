"""What a person at a terminal sees: live progress, tables, verdicts. Reads events and nouns, decides nothing.

Kernel source, names and reasons may come from a hostile file: everything goes through `Text` (no markup) with control
characters taken out. Colours follow the terminal and ``NO_COLOR``; without a terminal every line is plain.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from typing import IO

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.status import Status
from rich.table import Table
from rich.text import Text

from kernelwright.errors import KernelwrightError
from kernelwright.events import (
    AttemptFinished,
    AttemptStarted,
    Event,
    Note,
    RunFinished,
    RunStarted,
    StageFinished,
    StageStarted,
)
from kernelwright.rl.run import Attempt, Run
from kernelwright.verifier.evaluation import Evaluation, Timing
from kernelwright.words import duration, kind_words, limited_by, one_line, ratio, share, time_kind

__all__ = [
    "ProgressView",
    "attempts_table",
    "best_block",
    "error_text",
    "evaluation_view",
    "make_console",
    "plain_source",
    "verdict_line",
]

_PIPE_COLUMNS = 120
"""Width of lines when standard output is no terminal and COLUMNS is not set."""
_STATUS_STYLE = {"passed": "green", "failed": "bold red", "skipped": "dim", "warned": "yellow"}
_STATUS_SIGN = {"passed": "ok", "failed": "FAILED", "skipped": "skipped", "warned": "warning"}


def make_console(file: IO[str]) -> Console:
    """A console on `file` that interprets nothing in what it is given."""
    console = Console(file=file, markup=False, emoji=False, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        # the height says nothing here, but rich takes the width only with it when TERM is "dumb"
        console = Console(file=file, markup=False, emoji=False, highlight=False, width=_PIPE_COLUMNS, height=25)
    return console


class ProgressView:
    """An observer that draws: one line a finished stage, and on a terminal a spinner for the one under way."""

    def __init__(self, console: Console, gpu: str = "") -> None:
        self._console = console
        self._gpu = gpu
        self._rounds = 0
        self._status: Status | None = None
        self._where = ""

    def __enter__(self) -> ProgressView:
        if self._console.is_terminal:
            self._status = self._console.status("starting")
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def __call__(self, event: Event) -> None:
        match event:
            case StageStarted(stage=stage):
                self._spin(stage)
            case StageFinished(stage="judge"):
                pass  # its advice is shown with the attempt
            case StageFinished():
                self._print(stage_line(event.stage, event.status, event.seconds, event.summary))
            case RunStarted():
                self._rounds = event.rounds
                more = f", going on after {event.done}" if event.done else ""
                self._print(
                    Text(one_line(f"Run {event.run_id}: {event.task}, up to {event.rounds} rounds{more}"), style="bold")
                )
            case AttemptStarted():
                self._where = f"round {event.number} of {self._rounds}"
                self._print(
                    Text.assemble("\n", (f"Round {event.number}/{self._rounds}  ", "bold"), one_line(event.plan))
                )
                self._spin("")
            case AttemptFinished():
                self._print(self._attempt_line(event))
                if event.advice:
                    self._print(Text(f"  judge: {one_line(event.advice)}", style="cyan"))
            case RunFinished():
                self._where = ""
            case Note(text=text, details=details):
                self._print(Text(f"  note: {one_line(text)}", style="yellow"))
                for key, value in details.items():
                    self._print(Text(f"        {one_line(key)}: {one_line(value)}", style="dim"))

    def _spin(self, stage: str) -> None:
        if self._status is not None:
            words = ", ".join(part for part in (self._where, one_line(stage)) if part)
            self._status.update(Text(words or "working"))

    def _print(self, text: Text) -> None:
        self._console.print(text)

    def _attempt_line(self, event: AttemptFinished) -> Text:
        if event.seconds is None:
            return Text.assemble("  ", (event.verdict, "bold red"), f": {one_line(event.reason)}")
        kind = kind_words(event.kind or "modelled", self._gpu)
        line = Text.assemble("  ", (event.verdict, "bold green"), f": {duration(event.seconds)} {kind}")
        if event.speedup is not None:
            line.append(f", {ratio(event.speedup)} against eager")
        if event.best:
            line.append("  (best so far)", style="bold")
        return line


def stage_line(stage: str, status: str, seconds: float, summary: str) -> Text:
    """``  ok      build          0.07 s  32 registers``; the summary hangs under itself when it wraps."""
    took = duration(seconds) if seconds >= 0.001 else ""
    sign = _STATUS_SIGN.get(status, status)
    return Text.assemble(
        "  ", (f"{sign:<8}", _STATUS_STYLE.get(status, "")), f"{one_line(stage):<13}{took:>8}  {one_line(summary)}"
    )


def attempts_table(attempts: Sequence[Attempt], best: Attempt | None, *, width: int) -> Table:
    """Every attempt, one a row; under 100 columns the limiter is left out."""
    timing = next((a.evaluation.timing for a in attempts if a.evaluation.timing), None)
    kind = f" ({time_kind(timing)})" if timing else ""
    wide = width >= 100
    table = Table(box=SIMPLE_HEAD, title="Attempts", title_justify="left", title_style="bold", pad_edge=False)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("plan", ratio=1, overflow="fold")
    table.add_column("verdict", no_wrap=True)
    table.add_column(f"time{kind}", justify="right")
    table.add_column("vs eager", justify="right")
    table.add_column("of roofline", justify="right")
    if wide:
        table.add_column("limited by")
    for attempt in attempts:
        evaluation = attempt.evaluation
        chosen = best is not None and attempt.number == best.number
        row = [
            Text(f"{'*' if chosen else ''}{attempt.number}"),
            Text(one_line(attempt.plan)),
            Text(evaluation.verdict.value, style="green" if evaluation.passed else "red"),
            *_figures(evaluation.timing),
        ]
        if wide:
            row.append(Text(one_line(limited_by(evaluation)) if evaluation.passed else one_line(evaluation.reason, 60)))
        table.add_row(*row, style="bold" if chosen else "")
    return table


def _figures(timing: Timing | None) -> list[Text]:
    if timing is None:
        return [Text("-"), Text("-"), Text("-")]
    return [Text(duration(timing.seconds)), Text(ratio(timing.speedup)), Text(share(timing.roofline_share))]


def best_block(run: Run, best: Attempt | None) -> RenderableType:
    """The best attempt against eager PyTorch and the roofline bound, each time with its kind and GPU."""
    if best is None or best.evaluation.timing is None:
        return Text(f"No attempt passed. Every attempt is kept: kernelwright show {run.id}", style="bold red")
    timing = best.evaluation.timing
    kind = time_kind(timing)
    table = Table.grid(padding=(0, 2))
    table.add_row("  kernel", Text(duration(timing.seconds)), kind, Text(f"round {best.number}, {best.kernel.id}"))
    table.add_row(
        "  " + one_line(timing.baseline),
        Text(duration(timing.baseline_seconds)),
        kind,
        Text(
            f"the kernel is {ratio(timing.speedup)} as fast"
            + ("" if timing.speedup >= 1 else ": slower, so keep the original on this GPU")
        ),
    )
    by = f" ({one_line(timing.bound_by)})" if timing.bound_by else ""
    table.add_row(
        "  roofline",
        Text(duration(timing.bound_seconds)),
        kind,
        Text(f"the kernel reaches {share(timing.roofline_share)} of the bound{by}"),
    )
    return Group(Text("Best", style="bold"), table)


def verdict_line(evaluation: Evaluation) -> Text:
    """The verdict, the reason, and the time if there is one."""
    style = "bold green" if evaluation.passed else "bold red"
    line = Text.assemble((evaluation.verdict.value, style))
    if evaluation.reason:
        line.append(f": {one_line(evaluation.reason, 2000)}")
    return line


def evaluation_view(evaluation: Evaluation) -> RenderableType:
    """The stages of a stored evaluation, then its verdict and its times."""
    lines: list[RenderableType] = [
        stage_line(stage.name, stage.status.value, stage.seconds, stage.summary) for stage in evaluation.stages
    ]
    lines.append(verdict_line(evaluation))
    if evaluation.timing is not None:
        lines.append(timing_block(evaluation.timing))
    return Group(*lines)


def timing_block(timing: Timing) -> RenderableType:
    """Kernel, baseline and bound, one a line, each with its kind and GPU."""
    kind = time_kind(timing)
    table = Table.grid(padding=(0, 2))
    table.add_row("  kernel", Text(duration(timing.seconds)), kind, "")
    table.add_row(
        "  " + one_line(timing.baseline), Text(duration(timing.baseline_seconds)), kind, f"{ratio(timing.speedup)}"
    )
    table.add_row("  roofline", Text(duration(timing.bound_seconds)), kind, f"{share(timing.roofline_share)} reached")
    return table


def error_text(error: KernelwrightError) -> Text:
    """Where, what, and on a line of its own what to do."""
    text = Text.assemble(("error: ", "bold red"))
    if error.where:
        text.append(f"{one_line(error.where)}: ")
    text.append(one_line(error.message, 2000))
    if error.mend:
        text.append(f"\n  {one_line(error.mend, 2000)}")
    return text


def plain_source(source: str) -> Text:
    """Source text for a terminal: control characters (a hostile file may carry cursor movements) shown as escapes."""
    return Text("".join(c if c in "\n\t" or unicodedata.category(c)[0] != "C" else repr(c)[1:-1] for c in source))
