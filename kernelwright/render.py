"""What a person at a terminal sees: live progress, tables, verdicts. Reads events and nouns, decides nothing.

Kernel source, names and reasons may come from a hostile file: everything goes through `Text` (no markup) with control
characters taken out. Colours follow the terminal and ``NO_COLOR``; without a terminal every line is plain.
"""

from __future__ import annotations

import os
import time
import unicodedata
from collections.abc import Callable, Sequence
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
from kernelwright.verifier.evaluation import Evaluation, StageStatus, Timing, Verdict
from kernelwright.verifier.wording import quoted
from kernelwright.words import (
    between,
    counted,
    duration,
    interval_words,
    kind_words,
    limited_by,
    one_line,
    ratio,
    share,
    time_kind,
)

__all__ = [
    "ProgressView",
    "attempts_table",
    "best_block",
    "columns_that_fit",
    "error_text",
    "evaluation_view",
    "make_console",
    "plain_source",
    "timing_block",
    "verdict_block",
    "verdict_line",
]

_PIPE_COLUMNS = 120
"""Width of lines when standard output is no terminal and COLUMNS is not set."""
_LARGEST_QUOTED = 4 << 20
"""Characters of a file that are looked at for a line to quote."""
_GAP = 3
"""Characters between two columns of a table in the box `SIMPLE_HEAD`."""
_MORE_COLUMNS = {"vs eager": 8, "of roofline": 11, "limited by": 16, "80 % interval": 17}
"""Headings and widths of what the table of attempts leaves out in narrow terminals, the last first."""
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
    """An observer that draws: one line a finished stage, and on a terminal a spinner for the one under way.

    Args:
        gpu: the GPU that times stand for.
        clock: in seconds.
    """

    def __init__(self, console: Console, gpu: str = "", *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._gpu = gpu
        self._rounds = 0
        self._status: Status | None = None
        self._live = LiveLine(clock)

    def __enter__(self) -> ProgressView:
        if self._console.is_terminal:
            self._status = self._console.status(self._live)
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def __call__(self, event: Event) -> None:
        match event:
            case StageStarted(stage=stage):
                self._live.stage_begins(one_line(stage))
            case StageFinished(stage="judge"):
                pass  # its advice is shown with the attempt
            case StageFinished():
                self._print(stage_line(event.stage, event.status, event.seconds, event.summary))
            case RunStarted():
                self._rounds = event.rounds
                more = f", going on after {event.done}" if event.done else ""
                self._print(
                    Text(
                        one_line(f"Run {event.run_id}: {event.task}, up to {counted(event.rounds, 'round')}{more}"),
                        style="bold",
                    )
                )
            case AttemptStarted():
                self._live.round = f"round {event.number} of {self._rounds}"
                self._print(
                    Text.assemble("\n", (f"Round {event.number}/{self._rounds}  ", "bold"), one_line(event.plan))
                )
            case AttemptFinished():
                self._print(self._attempt_line(event))
                if event.advice:
                    self._print(Text(f"  judge: {one_line(event.advice)}", style="cyan"))
            case RunFinished():
                self._live.round = ""
            case Note(text=text, details=details):
                self._print(Text(f"  note: {one_line(text)}", style="yellow"))
                for key, value in details.items():
                    self._print(Text(f"        {one_line(key)}: {one_line(value)}", style="dim"))

    def _print(self, text: RenderableType) -> None:
        self._console.print(text)

    def _attempt_line(self, event: AttemptFinished) -> Text:
        if event.seconds is None:
            return Text.assemble("  ", (event.verdict, f"bold {_colour(event.verdict)}"), f": {one_line(event.reason)}")
        kind = kind_words(event.kind or "modelled", self._gpu)
        line = Text.assemble("  ", (event.verdict, "bold green"), f": {duration(event.seconds)} {kind}")
        if event.speedup is not None:
            line.append(f", {ratio(event.speedup)} against eager")
        if event.best:
            line.append("  (best so far)", style="bold")
        return line


class LiveLine:
    """The words beside the spinner, new each time it is drawn: round, stage, and the time they take.

    Args:
        clock: in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.round = ""
        self._stage = "starting"
        self._clock = clock
        self._begun = self._stage_begun = clock()

    def stage_begins(self, stage: str) -> None:
        """`stage` is what goes on from now. ``correctness, workload 2 of 6`` goes on with the stage before its comma."""
        if stage.partition(",")[0] != self._stage.partition(",")[0]:
            self._stage_begun = self._clock()
        self._stage = stage

    def __rich__(self) -> Text:
        now = self._clock()
        words = ", ".join(part for part in (self.round, self._stage) if part)
        return Text(
            f"{words}: {int(now - self._stage_begun)} s ({int(now - self._begun)} s in all)",
            no_wrap=True,
            overflow="ellipsis",
        )


def stage_line(stage: str, status: str, seconds: float, summary: str) -> Table:
    """``  ok      build          0.07 s  32 registers``; the summary hangs under itself when it wraps."""
    took = duration(seconds) if seconds >= 0.001 else ""
    sign = _STATUS_SIGN.get(status, status)
    head = Text.assemble("  ", (f"{sign:<8}", _STATUS_STYLE.get(status, "")), f"{one_line(stage):<13}{took:>8}  ")
    line = Table.grid()
    line.add_column(no_wrap=True)
    line.add_column(overflow="fold")
    line.add_row(head, Text(one_line(summary)))
    return line


def columns_that_fit(widths: Sequence[int], width: int) -> int:
    """How many columns of these widths, from the left, a table in the box `SIMPLE_HEAD` has room for."""
    room = width - 2  # one character at each edge
    for count, needed in enumerate(widths):
        room -= needed + (_GAP if count else 0)
        if room < 0:
            return count
    return len(widths)


def attempts_table(attempts: Sequence[Attempt], best: Attempt | None, *, width: int) -> Table:
    """Every attempt, one a row. Where plans would have to break inside a word, columns are left out from the right."""
    timing = next((a.evaluation.timing for a in attempts if a.evaluation.timing), None)
    kind = f" (times {time_kind(timing)})" if timing else ""
    table = Table(box=SIMPLE_HEAD, title=f"Attempts{kind}", title_justify="left", title_style="bold", pad_edge=False)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("plan", ratio=1, overflow="fold")
    table.add_column("verdict", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    longest = max((len(word) for a in attempts for word in one_line(a.plan).split()), default=0)
    verdict = max((len(a.evaluation.verdict.value) for a in attempts), default=0)
    always = [len("*10"), longest, max(verdict, len("verdict")), len("15.2 µs")]
    more = columns_that_fit([*always, *_MORE_COLUMNS.values()], width) - len(always)
    shown = list(_MORE_COLUMNS)[: max(more, 0)]
    for heading in shown:
        table.add_column(
            heading,
            justify="left" if heading == "limited by" else "right",
            max_width=max(_MORE_COLUMNS[heading], width // 5),
        )
    for attempt in attempts:
        evaluation = attempt.evaluation
        chosen = best is not None and attempt.number == best.number
        time_cell, *figures = _figures(evaluation.timing)
        timing = evaluation.timing
        ends = "" if timing is None else between(timing.seconds_low, timing.seconds_high).strip(" ()")
        limit = limited_by(evaluation) if evaluation.passed else one_line(evaluation.reason, 60)
        table.add_row(
            Text(f"{'*' if chosen else ''}{attempt.number}"),
            Text(one_line(attempt.plan)),
            Text(evaluation.verdict.value, style=_colour(evaluation.verdict)),
            time_cell,
            *[*figures, Text(limit), Text(ends)][: len(shown)],
            style="bold" if chosen else "",
        )
    return table


def _figures(timing: Timing | None) -> list[Text]:
    if timing is None:
        return [Text("-"), Text("-"), Text("-")]
    return [Text(duration(timing.seconds)), Text(ratio(timing.speedup)), Text(share(timing.roofline_share))]


def best_block(run: Run, best: Attempt | None) -> RenderableType:
    """The best attempt against eager PyTorch and the roofline bound, each time with its kind and GPU."""
    if best is None or best.evaluation.timing is None:
        return Text(f"No attempt passed. Every attempt is kept: kernelwright show {run.id}", style="bold red")
    times = timing_block(best.evaluation.timing, f"round {best.number}, {best.kernel.id}")
    return Group(Text("Best", style="bold"), times)


def verdict_block(evaluation: Evaluation) -> RenderableType:
    """The verdict and the reason, and under them the source line at fault where it is known."""
    failed = next((stage for stage in evaluation.stages if stage.status is StageStatus.FAILED), None)
    quote = failed.evidence.get("excerpt", "") if failed is not None else ""
    line = verdict_line(evaluation)
    return Group(line, plain_source(quote)) if isinstance(quote, str) and quote else line


def _colour(verdict: str) -> str:
    return {Verdict.PASSED.value: "green", Verdict.OUTCLASSED.value: "yellow"}.get(str(verdict), "red")


def verdict_line(evaluation: Evaluation) -> Text:
    """The verdict and the reason."""
    line = Text.assemble((evaluation.verdict.value, f"bold {_colour(evaluation.verdict)}"))
    if evaluation.reason:
        line.append(f": {one_line(evaluation.reason, 2000)}")
    return line


def evaluation_view(evaluation: Evaluation) -> RenderableType:
    """The stages of a stored evaluation, then its verdict and its times."""
    lines: list[RenderableType] = [
        stage_line(stage.name, stage.status.value, stage.seconds, stage.summary) for stage in evaluation.stages
    ]
    lines.append(verdict_block(evaluation))
    if evaluation.timing is not None:
        lines.append(timing_block(evaluation.timing))
    return Group(*lines)


def timing_block(timing: Timing, kernel: str = "") -> RenderableType:
    """Kernel, baseline and bound, one a line, each with its kind and GPU, and where their intervals are from.

    Args:
        kernel: says which one it is.
    """
    kind = time_kind(timing)
    slower = "" if timing.speedup >= 1 else ": slower, so keep the original on this GPU"
    bound = f"the bound ({one_line(timing.bound_by)})" if timing.bound_by else "the bound"
    table = Table.grid(padding=(0, 2))
    took = duration(timing.seconds) + between(timing.seconds_low, timing.seconds_high)
    eager = duration(timing.baseline_seconds) + between(timing.baseline_seconds_low, timing.baseline_seconds_high)
    table.add_row("  kernel", Text(took), kind, Text(kernel))
    table.add_row(
        "  " + one_line(timing.baseline),
        Text(eager),
        kind,
        Text(f"the kernel is {ratio(timing.speedup)} as fast{interval_words(timing)}{slower}"),
    )
    table.add_row(
        "  roofline",
        Text(duration(timing.bound_seconds)),
        kind,
        Text(f"the kernel reaches {share(timing.roofline_share)} of {bound}"),
    )
    if not timing.interval_source:
        return table
    return Group(table, Text(f"  in brackets: {one_line(timing.interval_source)}", style="dim"))


def error_text(error: KernelwrightError) -> Text:
    """Where, what, and on a line of its own what to do."""
    text = Text.assemble(("error: ", "bold red"))
    if error.where:
        text.append(f"{one_line(error.where)}: ")
    text.append(one_line(error.message, 2000))
    if error.line and error.path and (quote := _quote(error.path, error.line)):
        text.append("\n").append_text(plain_source(quote))
    if error.mend:
        text.append(f"\n  {one_line(error.mend, 2000)}")
    return text


def _quote(path: str, line: int) -> str:
    """That line of the file, behind its number; empty if it can't be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return quoted(file.read(_LARGEST_QUOTED), line)
    except OSError:
        return ""


def plain_source(source: str) -> Text:
    """Source text for a terminal: control characters (a hostile file may carry cursor movements) shown as escapes."""
    return Text("".join(c if c in "\n\t" or unicodedata.category(c)[0] != "C" else repr(c)[1:-1] for c in source))
