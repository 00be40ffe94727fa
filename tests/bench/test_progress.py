"""What is counted, and what people see of it: plain lines without a terminal, nothing of a hostile name obeyed."""

from __future__ import annotations

import io
from dataclasses import replace
from decimal import Decimal

from bench_doubles import BENCH, items
from rich.console import Console
from search_doubles import Ticks

from kernelwright.bench.events import BenchStarted, ItemEnded, ItemSaid, ItemStarted
from kernelwright.bench.progress import Progress, Result
from kernelwright.bench_tasks.scoring.results import AttemptResult, Integrity, Trial
from kernelwright.db.bench import BenchItem, ItemStatus
from kernelwright.events import AttemptStarted, Note, StageStarted, event_json, event_of
from kernelwright.render_bench import BenchView
from kernelwright.words import clock_words

FIRST, SECOND, THIRD, FOURTH = items()
PASSED = AttemptResult(True, "passed", 2.0, 0.5, 3.0)
WRONG = AttemptResult(False, "wrong")


def trial(item: BenchItem, *attempts: AttemptResult, dollars: str = "0", **changes: object) -> Trial:
    return replace(
        Trial(item.name, item.task_id, item.repeat, attempts, dollars=Decimal(dollars), seconds=4.0), **changes
    )


def ended(item: BenchItem, status: ItemStatus = ItemStatus.FINISHED, problem: str = "") -> BenchItem:
    return replace(item, status=status, problem=problem)


def test_counts_and_what_is_left() -> None:
    progress = Progress(Ticks())
    progress(BenchStarted(BENCH, (ended(FIRST), SECOND, THIRD, FOURTH), (trial(FIRST, PASSED, dollars="0.5"),), jobs=2))
    assert (progress.ended, progress.total, progress.dollars, progress.seconds_left) == (1, 4, Decimal("0.5"), None)
    progress(ItemStarted(SECOND))
    progress(ItemSaid(SECOND, AttemptStarted("x", 2, "wider")))
    progress(ItemSaid(SECOND, StageStarted("build")))
    assert progress.running[SECOND.position][1] == "round 2, build"
    assert progress.counts == {Result.SOLVED: 1, Result.RUNNING: 1}
    progress(ItemEnded(ended(SECOND), trial(SECOND, WRONG, dollars="0.25")))
    progress(ItemStarted(THIRD))
    progress(ItemEnded(ended(THIRD, ItemStatus.FAILED), trial(THIRD)))
    progress(ItemStarted(FOURTH))
    progress(ItemEnded(ended(FOURTH, ItemStatus.STOPPED), trial(FOURTH, PASSED, dollars="1")))
    assert progress.counts == {Result.SOLVED: 1, Result.UNSOLVED: 1, Result.UNWRITTEN: 1, Result.STOPPED: 1}
    assert (progress.ended, progress.dollars) == (3, Decimal("1.75"))
    progress(ItemStarted(FOURTH))
    progress(ItemEnded(ended(FOURTH), trial(FOURTH, PASSED, dollars="1.25")))  # all that it cost, not what came on top
    assert progress.dollars == Decimal("2.00")
    assert progress.seconds_left is None


def test_an_estimate_from_what_has_ended() -> None:
    progress = Progress(Ticks())  # a second passes at every look
    progress(BenchStarted(BENCH, tuple(items()), (), jobs=2))
    progress(ItemStarted(FIRST))
    progress(ItemEnded(ended(FIRST), trial(FIRST)))
    assert progress.seconds_left == 1.0 * 3 / 2


def test_plain_lines_without_a_terminal() -> None:
    out = io.StringIO()
    hostile = replace(SECOND, name="\x1b[2J[bold]x")
    with BenchView(Console(file=out, markup=False, highlight=False, width=200)) as view:
        view(BenchStarted(BENCH, (FIRST, hostile, THIRD, FOURTH), (), jobs=2))
        view(ItemStarted(FIRST))
        view(ItemEnded(ended(FIRST), trial(FIRST, WRONG, PASSED, speedup_interval=(1.9, 2.1))))
        view(ItemEnded(ended(hostile, ItemStatus.FAILED, "no kernel\x07 for it."), trial(hostile)))
        remarks = {"integrity": Integrity.SUSPECT, "remarks": ("Line 3: a stream.",)}
        view(ItemEnded(ended(THIRD), trial(THIRD, PASSED, **remarks)))
    lines = out.getvalue().splitlines()
    assert lines[0].startswith(
        "Bench run core-7k3f9q: core (scaled-down twins), refine, coder builtin, judge roofline, 3 rounds"
    )
    assert lines[0].endswith("times modelled for H200")
    assert lines[1:] == [
        "[1/4] softmax: solved, 2.00x (1.90x to 2.10x) against eager, 4 s",
        "[2/4] [2J[bold]x: not written, 4 s (no kernel for it.)",
        "[3/4] softmax #2: solved, 2.00x against eager, 4 s, suspect: Line 3: a stream.",
    ]


def test_a_terminal_shows_what_goes_on_and_how_far_it_is() -> None:
    out = io.StringIO()
    with BenchView(
        Console(file=out, force_terminal=True, color_system=None, markup=False, highlight=False, width=200)
    ) as view:
        view(BenchStarted(BENCH, tuple(items()), (), jobs=2))
        view(ItemStarted(FIRST))
        view(ItemEnded(ended(FIRST), trial(FIRST, PASSED, dollars="0.5")))
        view(ItemStarted(SECOND))
        view(ItemSaid(SECOND, StageStarted("correctness, workload 2 of 6")))
        assert view._live is not None
        view._live.refresh()
    assert view._live is None
    text = out.getvalue()
    assert "[1/4] softmax: solved, 2.00x against eager" in text
    assert "  relu: correctness, workload 2 of 6" in text
    assert "1 of 4, 1 solved, 1 running, " in text
    assert " elapsed, about " in text
    assert " left, $0.50" in text


def test_events_travel() -> None:
    for event in (AttemptStarted("x-1", 2, "wider"), Note("stays in torch", {"op": "gather"})):
        assert event_of(event_json(event)) == event


def test_time_in_words() -> None:
    assert [clock_words(s) for s in (0.4, 59.4, 59.6, 185, 7800)] == [
        "0 s",
        "59 s",
        "1 min 0 s",
        "3 min 5 s",
        "2 h 10 min",
    ]
